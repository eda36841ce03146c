"""The item tower's encoder in ONNX Runtime: what one would pick instead, as a reference.

One call tokenises the texts, pads them to the longest, and runs BERT with its mean over the word
pieces in float32; the tower's head is not in it. The graph is that of `bench graph`
(`graph.reference`); ONNX Runtime optimises it as far as it does by itself.

A job: `driver` "onnxruntime", `bundle`, `batch_rows`, and optionally `variant` (a run or BERT
folder for the weights), `device`, `threads` (of the session; 1), `tokens`, `seed`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower.bundle import Bundle
from dualtower.edge.tokenizer import Tokenizer
from dualtower.errors import UnavailableError
from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.drivers.reference_encoder import (
    ReferenceEncoder,
    only_item_tower,
    read_encoder,
    texts_of,
)
from dualtower_benchmarks.graph.reference import OnnxBert
from dualtower_benchmarks.load.samples import OK
from dualtower_benchmarks.load.workload import Workload
from dualtower_trainer.bert_config import ACTIVATIONS

__all__ = ["OnnxRuntimeDriver", "open"]

_MASK_BIAS = -1e4  # as `dualtower_trainer.bert`, which imports TensorFlow
_PROVIDERS = {"CPU": "CPUExecutionProvider", "GPU": "CUDAExecutionProvider"}
_TOLERANCE = 1e-3


class _Client:
    """A session that all clients share, as ONNX Runtime allows."""

    def __init__(self, session: Any, tokenizer: Tokenizer, requests: Sequence[list[str]]) -> None:
        self._session, self._tokenizer, self._requests = session, tokenizer, requests

    def call(self, index: int) -> str:
        self.pooled(self._requests[index % len(self._requests)])
        return OK

    def pooled(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """float32 [texts, hidden]."""
        ids, mask = self._tokenizer(texts)
        found: npt.NDArray[np.float32] = self._session.run(["pooled"], {"ids": ids, "mask": mask})[
            0
        ]
        return found


class OnnxRuntimeDriver:
    """A session with texts to encode."""

    def __init__(
        self,
        session: Any,
        tokenizer: Tokenizer,
        requests: Sequence[list[str]],
        facts: Mapping[str, Any],
    ) -> None:
        self._client, self._requests, self._facts = (
            _Client(session, tokenizer, requests),
            requests,
            facts,
        )

    def connect(self) -> _Client:
        return self._client

    def check(self) -> None:
        """Holds that a text has the same vector alone as among longer ones."""
        texts = sorted({text for request in self._requests[:8] for text in request}, key=len)
        batch = self._client.pooled([texts[0], texts[-1]])
        alone = self._client.pooled([texts[0]])
        if not np.isfinite(batch).all() or not np.allclose(batch[:1], alone, atol=_TOLERANCE):
            raise UnavailableError(
                f"ONNX Runtime gives {texts[0]!r} another vector beside a longer text than alone"
            )

    def facts(self) -> dict[str, Any]:
        return dict(self._facts)

    def close(self) -> None:
        """Nothing to end: the session goes with the process."""


def open(job: Mapping[str, Any]) -> OnnxRuntimeDriver:
    """Writes the encoder as ONNX and opens a session.

    Raises:
        UsageError: another model than the item tower.
        NotHere: onnx or onnxruntime is not installed, or has no GPU.
    """
    only_item_tower("onnxruntime", job)
    for package in ("onnxruntime", "onnx"):
        if importlib.util.find_spec(package) is None:
            raise NotHere(f"{package} is not installed: pip install onnx onnxruntime")
    import onnxruntime  # type: ignore[import-not-found]

    device = job.get("device", "CPU")
    if _PROVIDERS[device] not in onnxruntime.get_available_providers():
        raise NotHere("no GPU here: onnxruntime has no CUDA")
    bundle = Bundle.open(Path(job["bundle"]))
    workload = Workload.of_job(bundle, job)
    encoder = read_encoder(bundle, job.get("variant", ""))
    space, requests = bundle.manifest["space"], texts_of(workload, job["batch_rows"])
    tokenizer = Tokenizer.from_vocab(
        bundle.edge_path / "vocab.txt",
        lowercase=space["lowercase"],
        max_tokens=space["item_tokens"],
    )
    threads = job.get("threads") or 1
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    model = OnnxBert(_sizes(encoder), dict(encoder.tensors)).model()
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=[_PROVIDERS[device]]
    )
    provider = session.get_providers()[0]
    if provider != _PROVIDERS[device]:
        raise NotHere(f"no GPU here: onnxruntime runs on {provider}")
    facts = {
        "device": device,
        "onnxruntime_version": onnxruntime.__version__,
        "provider": provider,
        "threads": threads,
        "weights": encoder.weights,
        "has_head": False,
        **workload.facts([{"text": np.array(texts, dtype=object)} for texts in requests]),
    }
    return OnnxRuntimeDriver(session, tokenizer, requests, facts)


def _sizes(encoder: ReferenceEncoder) -> dict[str, Any]:
    config = encoder.config
    return {
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "head_size": config.head_size,
        "epsilon": config.layer_norm_eps,
        "gelu": "tanh" if ACTIVATIONS[config.hidden_act] else "none",
        "mask_bias": _MASK_BIAS,
    }
