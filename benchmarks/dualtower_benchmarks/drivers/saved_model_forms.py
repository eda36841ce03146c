"""What TensorFlow makes of a loaded model: compiled by XLA, or in half precision. Found, not asked.

XLA. A bundle's graphs have shapes that depend on values (a batch loses its pads), which XLA does
not compile as a whole. Then the clusters that it can compile are, by TensorFlow's auto-clustering,
and the rest runs as it is. A fact says which of the two it was and how many modules XLA compiled.

Precision. The weights of a bundle are constants of its graph, so half precision is TensorFlow's
rewrite of the loaded function (grappler's automatic mixed precision): bfloat16 on CPUs, float16 on
GPUs. Where it rewrites nothing, the answer is that of float32 but for the order of sums, and the
case is not measured under a wrong name. A bundle that was exported in half precision has it in its
graph.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower_benchmarks.drivers.driver import NotHere

__all__ = ["compiled", "set_xla_flags", "with_precision"]

# (precision, device): grappler's option
_REWRITES = {
    ("bfloat16", "CPU"): "auto_mixed_precision_onednn_bfloat16",
    ("float16", "GPU"): "auto_mixed_precision",
}
# What BERT's layers are made of. TensorFlow's own choice takes branches with it that need a shape
# as a constant, and fails.
_OPS = "FUSIBLE,MatMul,BatchMatMulV2,BiasAdd,Softmax"
_CLUSTERING = f"--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit --tf_xla_ops_to_cluster={_OPS}"
_DUMP = "--xla_dump_to="
_WARM_S = 30.0
_LEAST_COSINE = 0.98
# of the largest value: sums in another order differ by 1e-6, half precision by 1e-3
_LEAST_CHANGE = 5e-5

Function = Callable[..., Any]
Feeds = Sequence[Mapping[str, Any]]


def set_xla_flags() -> None:
    """Turns clustering on, and XLA's files for each module; before TensorFlow's import."""
    folder = tempfile.mkdtemp(prefix="dualtower-xla-")
    os.environ["TF_XLA_FLAGS"] = f"{os.environ.get('TF_XLA_FLAGS', '')} {_CLUSTERING}".strip()
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_DUMP}{folder}".strip()


def compiled(
    function: Function, feeds: Feeds, output: str, *, tensorflow: Any
) -> tuple[Function, dict[str, Any]]:
    """The function under XLA, and what XLA did of it.

    Requests are asked once each, or for half a minute: each shape among them takes its compiling.

    Raises:
        NotHere: XLA compiled nothing.
    """
    tf = tensorflow
    form = "auto-clustered"
    if all(value.dtype != tf.string for value in feeds[0].values()):
        whole = tf.function(lambda **named: function(**named), jit_compile=True, autograph=False)
        try:
            whole(**feeds[0])[output].numpy()
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            pass  # shapes depend on values, or an op has no kernel: its clusters are left
        else:
            function, form = whole, "whole graph"
    try:
        end_s = time.monotonic() + _WARM_S
        for named in feeds:
            function(**named)[output].numpy()
            if time.monotonic() > end_s:
                break
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise NotHere(f"XLA does not compile this graph: {reason}") from error
    finally:
        modules = _modules()
    if not modules:
        raise NotHere("XLA compiled nothing of this graph")
    return function, {"xla_form": form, "xla_modules": modules}


def with_precision(
    function: Function,
    feeds: Feeds,
    output: str,
    *,
    asked: str,
    own: str,
    device: str,
    tensorflow: Any,
) -> dict[str, Any]:
    """Turns on the rewrite that `asked` needs; facts on what it does.

    Args:
        asked: float32, bfloat16 or float16.
        own: what the bundle was exported in.

    Raises:
        NotHere: it cannot be, with the reason.
    """
    tf = tensorflow
    facts = {
        "compute_dtype": asked,
        # on a GPU "float32" products read 10 bits of the mantissa where this is on
        "tensor_float_32": device == "GPU"
        and bool(tf.config.experimental.tensor_float_32_execution_enabled()),
    }
    if asked == own:
        return facts
    again = f"export the bundle with --set export.compute_dtype={asked}"
    if asked == "float32":
        raise NotHere(f"this bundle computes in {own}; {again}")
    if (option := _REWRITES.get((asked, device))) is None:
        raise NotHere(f"TensorFlow rewrites no loaded graph to {asked} on the {device}; {again}")
    before = function(**feeds[0])[output].numpy()
    tf.config.optimizer.set_experimental_options({option: True})
    after = function(**feeds[0])[output].numpy()
    change = float(np.abs(after - before).max() / np.abs(before).max())
    if change < _LEAST_CHANGE:
        raise NotHere(f"TensorFlow rewrote nothing of this graph to {asked} on this {device}")
    cosine = _cosine(before, after)
    if not cosine >= _LEAST_COSINE:
        raise NotHere(
            f"in {asked} the {output} has a cosine of {cosine:.3f} to that in float32, less than "
            f"{_LEAST_COSINE}"
        )
    return facts | {"precision_by": option, "cosine_to_float32": cosine, "change": change}


def _cosine(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """The smallest of the rows."""
    norms = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return float(((one * other).sum(axis=-1) / norms).min())


def _modules() -> int:
    """How many modules XLA compiled in this process, by the files that it left."""
    (folder,) = (
        Path(flag.removeprefix(_DUMP))
        for flag in os.environ["XLA_FLAGS"].split()
        if flag.startswith(f"{_DUMP}{tempfile.gettempdir()}")
    )
    names = {path.name.partition(".")[0] for path in folder.glob("module_*")}
    shutil.rmtree(folder, ignore_errors=True)
    return len(names)
