"""The item tower's encoder in sentence-transformers: what one would pick instead, as a reference.

One call is `SentenceTransformer.encode` of a request's texts, tokeniser and mean pooling with it;
the tower's head is not in it.

A job: `driver` "sentence_transformers", `bundle`, `batch_rows`, and optionally `variant` (a run or
BERT folder for the weights), `device`, `threads` (of torch; 1), `tokens`, `seed`.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower.bundle import Bundle
from dualtower.edge.tokenizer import Tokenizer
from dualtower.errors import UnavailableError
from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.drivers.reference_encoder import only_item_tower, read_encoder, texts_of
from dualtower_benchmarks.load.samples import OK
from dualtower_benchmarks.load.workload import Workload
from dualtower_trainer.encoder import Encoder

__all__ = ["SentenceTransformersDriver", "open"]


class _Client:
    """A model that all clients share."""

    def __init__(self, model: Any, requests: Sequence[list[str]]) -> None:
        self._model, self._requests = model, requests

    def call(self, index: int) -> str:
        self.encoded(index)
        return OK

    def encoded(self, index: int) -> npt.NDArray[np.float32]:
        """float32 [texts, hidden]."""
        texts = self._requests[index % len(self._requests)]
        found: npt.NDArray[np.float32] = self._model.encode(
            texts, batch_size=len(texts), convert_to_numpy=True, show_progress_bar=False
        )
        return found


class SentenceTransformersDriver:
    """A loaded model with texts to encode."""

    def __init__(
        self, model: Any, requests: Sequence[list[str]], hidden: int, facts: Mapping[str, Any]
    ) -> None:
        self._client, self._facts = _Client(model, requests), facts
        self._shape = (len(requests[0]), hidden)

    def connect(self) -> _Client:
        return self._client

    def check(self) -> None:
        encoded = self._client.encoded(0)
        if encoded.shape != self._shape or not np.isfinite(encoded).all():
            raise UnavailableError(
                f"sentence-transformers answered with shape {list(encoded.shape)}, expected "
                f"{list(self._shape)} and finite numbers"
            )

    def facts(self) -> dict[str, Any]:
        return dict(self._facts)

    def close(self) -> None:
        """Nothing to end: the model goes with the process."""


def open(job: Mapping[str, Any]) -> SentenceTransformersDriver:
    """Loads the encoder.

    Raises:
        UsageError: another model than the item tower.
        NotHere: sentence-transformers is not installed, or torch sees no GPU.
    """
    only_item_tower("sentence_transformers", job)
    if importlib.util.find_spec("sentence_transformers") is None:
        raise NotHere("sentence-transformers is not installed: pip install sentence-transformers")
    import sentence_transformers  # type: ignore[import-not-found]
    import torch  # type: ignore[import-not-found]
    from sentence_transformers import models

    device = job.get("device", "CPU")
    if device == "GPU" and not torch.cuda.is_available():
        raise NotHere("no GPU here: torch sees none")
    threads = job.get("threads") or 1
    torch.set_num_threads(threads)
    bundle = Bundle.open(Path(job["bundle"]))
    workload = Workload.of_job(bundle, job)
    space, requests = bundle.manifest["space"], texts_of(workload, job["batch_rows"])
    encoder = read_encoder(bundle, job.get("variant", ""))
    with tempfile.TemporaryDirectory(prefix="dualtower-bench-") as folder:
        tokenizer = Tokenizer.from_vocab(
            bundle.edge_path / "vocab.txt",
            lowercase=space["lowercase"],
            max_tokens=space["item_tokens"],
        )
        path = Encoder(
            folder=Path(folder),
            config=encoder.config,
            tensors=encoder.tensors,
            tokenizer=tokenizer,
        ).save(Path(folder, "bert"))
        bert = models.Transformer(str(path), max_seq_length=space["item_tokens"])
        mean = models.Pooling(encoder.config.hidden_size, pooling_mode="mean")
        model = sentence_transformers.SentenceTransformer(
            modules=[bert, mean], device="cuda" if device == "GPU" else "cpu"
        )
    facts = {
        "device": device,
        "device_name": torch.cuda.get_device_name(0) if device == "GPU" else None,
        "sentence_transformers_version": sentence_transformers.__version__,
        "torch_version": torch.__version__,
        "threads": threads,
        "weights": encoder.weights,
        "has_head": False,
        **workload.facts([{"text": np.array(texts, dtype=object)} for texts in requests]),
    }
    return SentenceTransformersDriver(model, requests, encoder.config.hidden_size, facts)
