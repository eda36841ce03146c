"""Prints what a TensorFlow can run on a CPU, a line an op, with its attributes. A list is made by

    python -m venv of-2.20 && of-2.20/bin/pip install 'tensorflow==2.20.*' 'tensorflow-text==2.20.*'
    of-2.20/bin/python export/dualtower_export/op_registry.py > \\
        export/dualtower_export/server_ops/2.20.0.txt

A stock server of a version links the kernels of that TensorFlow and no Python. So these are the ops
that have a kernel for a CPU, without those that call Python and those that no graph of a model
holds. Of TF-Text, whose ops some images lacked in part, only what a bundle needs is kept. The file
stands alone: it runs in the environment of another TensorFlow.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

__all__ = ["registry_lines"]

_DEVICES = frozenset({"CPU", "DEFAULT"})
_PYTHON = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
# data pipelines, accelerators and distributed training, which no served graph is made of
_ELSEWHERE = (
    "Dataset", "Iterator", "TPU", "Tpu", "Xla", "Collective", "Nccl", "Experimental", "Infeed",
    "Outfeed", "Summary", "Record", "Debug", "Cudnn", "Queue", "Barrier", "Stage", "MapStage",
    "SpecializeType", "Reader",
)  # fmt: skip
_TF_TEXT = frozenset({"FastWordpieceTokenizeWithOffsets", "NormalizeUTF8"})


def registry_lines() -> Iterator[str]:
    """`Name attribute attribute ...`, sorted; the first line names the versions."""
    import tensorflow as tf
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session
    from tensorflow.python.framework import kernels

    core = _names(op_def_pb2, pywrap_tf_session)
    import tensorflow_text

    everything = _names(op_def_pb2, pywrap_tf_session)
    on_cpu = {
        one.op for one in kernels.get_all_registered_kernels().kernel if one.device_type in _DEVICES
    }
    yield f"# tensorflow {tf.__version__}, tensorflow-text {tensorflow_text.__version__}"
    for name, attributes in sorted(everything.items()):
        wanted = name in core or name in _TF_TEXT
        elsewhere = any(part in name for part in _ELSEWHERE) or name.startswith("_")
        if wanted and name in on_cpu and name not in _PYTHON and not elsewhere:
            yield " ".join([name, *sorted(attributes)])


def _names(op_def_pb2, session) -> dict[str, set[str]]:
    """Attributes by op, of all that is registered at this moment."""
    ops = op_def_pb2.OpList()
    ops.ParseFromString(session.TF_GetBuffer(session.TF_GetAllOpList()))
    return {op.name: {attribute.name for attribute in op.attr} for op in ops.op}


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in registry_lines())
