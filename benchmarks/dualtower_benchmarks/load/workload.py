"""What is sent: texts and histories out of the bundle's own catalogue, drawn by the seed.

A scenario may ask for texts of other lengths (`text_lengths`). Those are the catalogue's by chance
alone, so a server that is asked with histories of them encodes them, where it looks its own up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower.bundle import Bundle
from dualtower.edge.tokenizer import Tokenizer
from dualtower.errors import BundleError
from dualtower_benchmarks.load.fitted_texts import fitted_texts, pieces_of
from dualtower_benchmarks.load.text_lengths import CATALOGUE, TextLengths, read_lines
from dualtower_benchmarks.stats.percentiles import nearest_rank
from dualtower_clients.codec import decode, encode
from dualtower_clients.proto.inference_pb2 import ModelSpec, PredictRequest, PredictResponse

__all__ = ["DISTINCT_REQUESTS", "SIGNATURE", "Workload", "check_answer", "encoded"]

SIGNATURE = "serving_default"  # takes strings, as an application would send them
_EXCLUDE_WIDTH = 8  # the smallest that `dualtower_clients.Recommender` sends
DISTINCT_REQUESTS = 64  # a point cycles through this many different requests
_NEVER_CUT = 1_000_000

Inputs = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Workload:
    """A catalogue to draw requests from.

    Args:
        texts: [n] of the items that are not blocked.
        vectors: float32 [n, dim] of the same items.
        catalogue_rows: int32 [n], where they stand in the whole catalogue.
        lengths: of the texts that are sent.
        tokenizer: the bundle's, one that cuts nothing; None where the bundle has no vocabulary.
        longest: word pieces where a tower cuts.
    """

    texts: npt.NDArray[np.object_]
    vectors: npt.NDArray[np.float32]
    catalogue_rows: npt.NDArray[np.int32]
    seed: int
    history_texts: int
    lengths: TextLengths = CATALOGUE
    tokenizer: Tokenizer | None = None
    longest: int = 0

    @classmethod
    def of(
        cls, bundle: Bundle, *, seed: int, history_texts: int, tokens: str = "catalogue"
    ) -> Workload:
        """Reads the bundle's catalogue.

        Args:
            tokens: how long the texts are, see `text_lengths`.

        Raises:
            BundleError: the catalogue is missing, broken, or has no item that may be recommended;
                or there is no vocabulary to fit texts by.
        """
        texts, vectors, rows = _read_catalogue(bundle.catalogue_path)
        if not len(texts):
            raise BundleError(f"{bundle.catalogue_path} holds no item that may be recommended")
        lengths, space = TextLengths.read(tokens), bundle.manifest.get("space", {})
        vocabulary, tokenizer = bundle.edge_path / "vocab.txt", None
        if vocabulary.is_file():
            tokenizer = Tokenizer.from_vocab(
                vocabulary, lowercase=space.get("lowercase", True), max_tokens=_NEVER_CUT
            )
        elif lengths.is_fitted:
            raise BundleError(f"texts are fitted by {vocabulary}, which is missing")
        longest = int(space.get("item_tokens", 0))
        return cls(texts, vectors, rows, seed, history_texts, lengths, tokenizer, longest)

    @classmethod
    def of_job(cls, bundle: Bundle, job: Mapping[str, Any]) -> Workload:
        """The same by a driver's job: `seed`, `history_texts` and `tokens`, which may be left out.

        Raises:
            BundleError: see `of`.
        """
        return cls.of(
            bundle,
            seed=job.get("seed", 0),
            history_texts=job.get("history_texts", 20),
            tokens=job.get("tokens", "catalogue"),
        )

    def item_texts(self, count: int) -> npt.NDArray[np.object_]:
        """object [count]: texts of items."""
        if self.lengths.text == "catalogue":
            return self.texts[self.item_rows(count)]
        return self._other_texts(count, np.random.default_rng([self.seed, 3]))

    def histories(self, count: int, *, width: int) -> npt.NDArray[np.object_]:
        """object [count, width]: texts of what each took, filled up with ""."""
        if self.lengths.text == "catalogue":
            taken = self.texts[self.history_rows(count)]
        else:
            drawn = self._other_texts(
                count * self.history_texts, np.random.default_rng([self.seed, 4])
            )
            taken = drawn.reshape(count, self.history_texts)
        taken = taken[:, :width]
        padded = np.full((count, width), "", dtype=object)
        padded[:, : taken.shape[1]] = taken
        return padded

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

    def inputs(self, model: str, batch_rows: int, *, history_width: int) -> list[Inputs]:
        """The inputs by name of DISTINCT_REQUESTS requests of `batch_rows` rows each.

        Args:
            history_width: histories are filled up with "" to this many entries, as
                `dualtower_clients.Recommender` does.
        """
        total = DISTINCT_REQUESTS * batch_rows
        if model == "item_tower":
            texts = self.item_texts(total)
            return [{"text": block} for block in np.split(texts, DISTINCT_REQUESTS)]
        histories = np.split(self.histories(total, width=history_width), DISTINCT_REQUESTS)
        if model == "user_tower":
            return [{"history": block} for block in histories]
        exclude = np.full((batch_rows, _EXCLUDE_WIDTH), "", dtype=object)
        return [{"history": block, "exclude": exclude} for block in histories]

    def requests(self, model: str, batch_rows: int, *, history_width: int) -> list[bytes]:
        """The same as encoded PredictRequests."""
        inputs = self.inputs(model, batch_rows, history_width=history_width)
        return [encoded(model, named) for named in inputs]

    def facts(self, inputs: Sequence[Mapping[str, npt.NDArray[Any]]]) -> dict[str, Any]:
        """How long the texts of `inputs` are, in word pieces before a tower cuts them."""
        found: dict[str, Any] = {"tokens": self.lengths.text}
        names = ("text", "history")
        blocks = [named[name].ravel() for named in inputs for name in names if name in named]
        texts = [text for block in blocks for text in block.tolist() if text]
        if self.tokenizer is None or not texts:
            return found
        pieces = pieces_of(texts, self.tokenizer)
        return found | {
            "texts": len(texts),
            "pieces_p50": nearest_rank(pieces, 0.5),
            "pieces_p90": nearest_rank(pieces, 0.9),
            "pieces_max": int(pieces.max()),
            "pieces_limit": self.longest,
            "texts_cut": int((pieces > self.longest).sum()),
        }

    def _other_texts(self, count: int, generator: np.random.Generator) -> npt.NDArray[np.object_]:
        """object [count]: texts that are not the catalogue's as they are."""
        if self.lengths.path is not None:
            lines = self._lines
            return lines[generator.choice(len(lines), size=count, replace=count > len(lines))]
        assert self.tokenizer is not None
        lengths = self.lengths.drawn(count, generator, longest=self.longest)
        return fitted_texts(lengths, self.texts.tolist(), self.tokenizer, generator)

    @cached_property
    def _lines(self) -> npt.NDArray[np.object_]:
        assert self.lengths.path is not None
        return np.array(read_lines(self.lengths.path), dtype=object)


def check_answer(model: str, batch_rows: int, answer: bytes) -> None:
    """Holds that an answer has a value for every row, so that what is timed is work.

    Raises:
        BundleError: another shape, or numbers that are not finite.
    """
    outputs = PredictResponse.FromString(answer).outputs
    name = "scores" if model == "recommender" else "embedding"
    values = decode(outputs[name]) if name in outputs else np.zeros(0, np.float32)
    if values.ndim != 2 or len(values) != batch_rows or np.isnan(values).any():
        raise BundleError(
            f"{model} answered {batch_rows} rows with {name} of shape {list(values.shape)}"
            f"{' and NaN' if np.isnan(values).any() else ''}; check the bundle: dualtower verify"
        )


def encoded(model: str, inputs: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """A PredictRequest of these inputs."""
    spec = ModelSpec(name=model, signature_name=SIGNATURE)
    tensors = {name: encode(value) for name, value in inputs.items()}
    return PredictRequest(model_spec=spec, inputs=tensors).SerializeToString()


def _read_catalogue(
    path: Path,
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=["text", "blocked", "vector"])
    except (OSError, pa.ArrowException, KeyError) as error:
        raise BundleError(f"{path} cannot be read ({error}); run: dualtower verify") from error
    blocked = np.array(table["blocked"].to_pylist(), dtype=bool)
    table = table.filter(pa.compute.invert(table["blocked"]))
    texts = np.array(table["text"].to_pylist(), dtype=object)
    flat = table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    vectors = flat.reshape(len(texts), -1).astype(np.float32) if len(texts) else flat
    return texts, vectors, np.flatnonzero(~blocked).astype(np.int32)
