"""What is sent: texts and histories out of the bundle's own catalogue, drawn by the seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower.bundle import Bundle
from dualtower.errors import BundleError
from dualtower_benchmarks.settings import SIGNATURES
from dualtower_clients.codec import decode, encode
from dualtower_clients.proto.inference_pb2 import ModelSpec, PredictRequest, PredictResponse

__all__ = ["DISTINCT_REQUESTS", "Workload", "check_answer"]

_EXCLUDE_WIDTH = 8  # the smallest that `dualtower_clients.Recommender` sends
DISTINCT_REQUESTS = 64  # a point cycles through this many different requests


@dataclass(frozen=True)
class Workload:
    """A catalogue to draw requests from.

    Args:
        texts: [n] of the items that are not blocked.
        vectors: float32 [n, dim] of the same items.
    """

    texts: npt.NDArray[np.object_]
    vectors: npt.NDArray[np.float32]
    seed: int
    history_texts: int

    @classmethod
    def of(cls, bundle: Bundle, *, seed: int, history_texts: int) -> Workload:
        """Reads the bundle's catalogue.

        Raises:
            BundleError: the catalogue is missing, broken, or has no item that may be recommended.
        """
        texts, vectors = _read_catalogue(bundle.catalogue_path)
        if not len(texts):
            raise BundleError(f"{bundle.catalogue_path} holds no item that may be recommended")
        return cls(texts, vectors, seed, history_texts)

    def item_rows(self, count: int) -> npt.NDArray[np.int64]:
        """int64 [count]: catalogue rows, with repeats only where the catalogue is smaller."""
        generator = np.random.default_rng([self.seed, 1])
        return generator.choice(len(self.texts), size=count, replace=count > len(self.texts))

    def history_rows(self, count: int) -> npt.NDArray[np.int64]:
        """int64 [count, history_texts]: catalogue rows, different ones within a history."""
        generator = np.random.default_rng([self.seed, 2])
        length = min(self.history_texts, len(self.texts))
        return np.stack(
            [generator.choice(len(self.texts), size=length, replace=False) for _ in range(count)]
        )

    def requests(self, model: str, batch_rows: int, *, history_width: int) -> list[bytes]:
        """DISTINCT_REQUESTS encoded PredictRequests of `batch_rows` rows each.

        Args:
            history_width: histories are filled up with "" to this many entries, as
                `dualtower_clients.Recommender` does.
        """
        total = DISTINCT_REQUESTS * batch_rows
        if model == "item_tower":
            texts = self.texts[self.item_rows(total)]
            inputs = [{"text": block} for block in np.split(texts, DISTINCT_REQUESTS)]
        else:
            histories = self.texts[self.history_rows(total)][:, :history_width]
            padded = np.full((total, history_width), "", dtype=object)
            padded[:, : histories.shape[1]] = histories
            exclude = np.full((batch_rows, _EXCLUDE_WIDTH), "", dtype=object)
            inputs = [
                {"history": block, "exclude": exclude}
                for block in np.split(padded, DISTINCT_REQUESTS)
            ]
        return [_request(model, named) for named in inputs]


def check_answer(model: str, batch_rows: int, answer: bytes) -> None:
    """Holds that an answer has a value for every row, so that what is timed is work.

    Raises:
        BundleError: another shape, or numbers that are not finite.
    """
    outputs = PredictResponse.FromString(answer).outputs
    name = "embedding" if model == "item_tower" else "scores"
    values = decode(outputs[name]) if name in outputs else np.zeros(0, np.float32)
    if values.ndim != 2 or len(values) != batch_rows or np.isnan(values).any():
        raise BundleError(
            f"{model} answered {batch_rows} rows with {name} of shape {list(values.shape)}"
            f"{' and NaN' if np.isnan(values).any() else ''}; check the bundle: dualtower verify"
        )


def _request(model: str, inputs: dict[str, npt.NDArray[Any]]) -> bytes:
    spec = ModelSpec(name=model, signature_name=SIGNATURES[model])
    tensors = {name: encode(value) for name, value in inputs.items()}
    return PredictRequest(model_spec=spec, inputs=tensors).SerializeToString()


def _read_catalogue(path: Path) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.float32]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=["text", "blocked", "vector"])
    except (OSError, pa.ArrowException, KeyError) as error:
        raise BundleError(f"{path} cannot be read ({error}); run: dualtower verify") from error
    table = table.filter(pa.compute.invert(table["blocked"]))
    texts = np.array(table["text"].to_pylist(), dtype=object)
    flat = table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return texts, flat.reshape(len(texts), -1).astype(np.float32) if len(texts) else flat
