"""A model of the bundle in this process, on the CPU or on a GPU, without a server.

A job: `driver` "saved_model", `bundle`, `model`, `batch_rows`, `device` ("CPU" or "GPU"), and
optionally `variant` ("" takes strings, "from_tokens" word pieces), `threads` (of an op; 1 as the
servers have it), `xla`, `precision`, `tokens`, `seed`, `history_texts`.

What `xla` and `precision` come to is TensorFlow's to decide, and it is found out, see
`saved_model_forms`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower.bundle import Bundle
from dualtower.errors import BundleError, UnavailableError, UsageError
from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.drivers.saved_model_forms import compiled, set_xla_flags, with_precision
from dualtower_benchmarks.load.samples import OK
from dualtower_benchmarks.load.workload import SIGNATURE, Inputs, Workload

__all__ = ["FROM_TOKENS", "SavedModelDriver", "open"]

FROM_TOKENS = "from_tokens"


class _Client:
    """A function with inputs to feed; an answer counts when it is back in host memory."""

    def __init__(self, function: Callable[..., Any], feeds: Sequence[Mapping[str, Any]]) -> None:
        self._function, self._feeds = function, feeds

    def call(self, index: int) -> str:
        self.answer(index)
        return OK

    def embed(self, index: int) -> npt.NDArray[Any]:
        """The embeddings of request `index`, of a tower."""
        return self.answer(index)["embedding"]

    def answer(self, index: int) -> dict[str, npt.NDArray[Any]]:
        """All outputs by name."""
        outputs = self._function(**self._feeds[index % len(self._feeds)])
        return {name: tensor.numpy() for name, tensor in outputs.items()}


class SavedModelDriver:
    """Its clients share one loaded model, as the threads of an application would.

    Args:
        feeds: the inputs of all requests, as tensors.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        feeds: Sequence[Mapping[str, Any]],
        batch_rows: int,
        facts: Mapping[str, Any],
    ) -> None:
        self._client, self._rows, self._facts = _Client(function, feeds), batch_rows, dict(facts)

    def connect(self) -> _Client:
        return self._client

    def check(self) -> None:
        answer = self._client.answer(0)
        values = answer.get("scores", answer.get("embedding"))
        if values is None or len(values) != self._rows or np.isnan(values).any():
            shapes = {name: list(value.shape) for name, value in answer.items()}
            raise BundleError(
                f"the SavedModel answered {self._rows} rows with {shapes}, or with values that are "
                "no numbers; check the bundle: dualtower verify"
            )

    def facts(self) -> dict[str, Any]:
        return self._facts

    def close(self) -> None:
        """Nothing to end: the model goes with the process."""


def open(job: Mapping[str, Any]) -> SavedModelDriver:
    """Loads the model onto the device of the job.

    Raises:
        UsageError: no such signature.
        NotHere: TensorFlow sees no GPU, or cannot do what `xla` or `precision` ask for.
        UnavailableError: TensorFlow computes on another device than asked.
    """
    model, device = job.get("model", "item_tower"), job.get("device", "CPU")
    signature = _signature(model, job.get("variant") or SIGNATURE)
    precision = job.get("precision", "float32")
    bundle = Bundle.open(Path(job["bundle"]))
    workload = Workload.of_job(bundle, job)
    if device == "GPU" and not _may_have_gpu():
        raise NotHere("no GPU here")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    if job.get("xla"):
        set_xla_flags()
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers the tokeniser's ops

    # as `dualtower serve` starts a server: a bundle's layers come in shards, one thread each
    tf.config.threading.set_intra_op_parallelism_threads(job.get("threads") or 1)
    gpus = tf.config.list_physical_devices("GPU")
    if device == "CPU":
        tf.config.set_visible_devices([], "GPU")
    elif not gpus:
        raise NotHere("no GPU here")
    loaded = tf.saved_model.load(str(bundle.model_path(model) / str(bundle.version)))
    if signature not in loaded.signatures:
        raise NotHere(f"the {model} of this bundle has no signature {signature}")
    function = loaded.signatures[signature]
    inputs = workload.inputs(
        model, job["batch_rows"], history_width=bundle.manifest["space"]["history_items"]
    )
    given = _tokens(inputs, bundle, workload) if signature == FROM_TOKENS else inputs
    feeds: list[Mapping[str, Any]] = [
        {name: tf.constant(value) for name, value in named.items()} for named in given
    ]
    output = "scores" if model == "recommender" else "embedding"
    placed = function(**feeds[0])[output].device.rpartition("device:")[2]
    if not placed.startswith(device):
        raise UnavailableError(f"asked for the {device}, the answer was computed on {placed}")
    own = bundle.manifest.get("config", {}).get("compute_dtype", "float32")
    found = with_precision(
        function, feeds, output, asked=precision, own=own, device=device, tensorflow=tf
    )
    if job.get("xla"):
        function, said = compiled(function, feeds, output, tensorflow=tf)
        found |= said
    names = [tf.config.experimental.get_device_details(gpu).get("device_name") for gpu in gpus]
    facts = {
        "device": device,
        "device_name": names[0] if device == "GPU" else None,
        "gpus": names,
        "placed_on": placed,
        "signature": signature,
        "threads": job.get("threads") or 1,
        "xla": bool(job.get("xla")),
        "tensorflow_version": tf.__version__,
        "built_with_cuda": tf.test.is_built_with_cuda(),
        **found,
        **workload.facts(inputs),
    }
    return SavedModelDriver(function, feeds, job["batch_rows"], facts)


def _may_have_gpu() -> bool:
    """Whether it is worth TensorFlow's import: Linux without a device file has no GPU."""
    files = ("nvidia[0-9]*", "kfd", "dxg")
    return sys.platform != "linux" or any(any(Path("/dev").glob(name)) for name in files)


def _signature(model: str, signature: str) -> str:
    if signature not in (SIGNATURE, FROM_TOKENS):
        raise UsageError(f'variant of saved_model is "" or "{FROM_TOKENS}", got {signature!r}')
    if model == "recommender" and signature == FROM_TOKENS:
        raise NotHere(f"the recommender takes strings alone, it has no signature {FROM_TOKENS}")
    return signature


def _tokens(inputs: Sequence[Inputs], bundle: Bundle, workload: Workload) -> list[Inputs]:
    """The word pieces of texts or histories, all of one width: a compiler sees one shape."""
    assert workload.tokenizer is not None
    longest = bundle.manifest["space"]["item_tokens"]
    rows = [
        [row[: longest - 1] + row[-1:] if len(row) > longest else row for row in tokens]
        for tokens in (workload.tokenizer.rows(_texts(named).ravel().tolist()) for named in inputs)
    ]
    is_history = "history" in inputs[0]
    width = longest if is_history else max(len(row) for block in rows for row in block)
    return [
        _block(block, width, named, workload.tokenizer.pad_id)
        for block, named in zip(rows, inputs, strict=True)
    ]


def _texts(named: Inputs) -> npt.NDArray[np.object_]:
    texts: npt.NDArray[np.object_] = named["history" if "history" in named else "text"]
    return texts


def _block(rows: Sequence[Sequence[int]], width: int, named: Inputs, pad_id: int) -> Inputs:
    """`ids` and `mask` int32 [batch, width], of histories [batch, items * width]."""
    ids = np.full((len(rows), width), pad_id, np.int32)
    mask = np.zeros((len(rows), width), np.int32)
    present = _texts(named).ravel() != ""
    for place, row in enumerate(rows):
        if present[place]:
            ids[place, : len(row)], mask[place, : len(row)] = row, 1
    batch = len(_texts(named))
    return {"ids": ids.reshape(batch, -1), "mask": mask.reshape(batch, -1)}
