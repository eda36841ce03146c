"""Batches of pairs of like length, so that little of a batch is padding. No TensorFlow.

    pairs ─► by the longer side's width ─► buckets, each with a width a side ─► DiverseBatches

A bucket with too few pairs for diverse batches joins the next wider one. Which bucket and which
pairs make up a step is a function of (seed, step) alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dualtower.edge.tokenizer import Tokenizer
from dualtower.errors import DataError
from dualtower_trainer.pairs import DiverseBatches, Pairs, near_duplicate_groups

__all__ = ["Batch", "PairBatches", "TokenCount", "pad_rows"]

Rows = Sequence[Sequence[int]]
_FILLED = 4  # a bucket holds at least so many batches of pairs


@dataclass(frozen=True, eq=False)
class Batch:
    """What one loss sees.

    Attributes:
        sides: ids and mask, int32 [rows, width], for each side; widths may differ.
        constants: arrays that the objective takes beside the vectors.
        texts: of the left and the right side, which texts they are, int32 [rows]; only where they
            were drawn from pairs, and without the copies that fill a batch up.
    """

    sides: tuple[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]], ...]
    constants: tuple[npt.NDArray[np.generic], ...]
    texts: tuple[npt.NDArray[np.int32], ...] = ()


@dataclass(frozen=True)
class TokenCount:
    """Word pieces that BERT reads in one pass over the pairs.

    Attributes:
        real: without any padding.
        bucketed: with the widths of the buckets.
        plain: random batches, each padded to its longest text.
    """

    real: int
    bucketed: int
    plain: int

    @property
    def saved(self) -> float:
        """The share of `plain` that bucketing does not read."""
        return 1.0 - self.bucketed / self.plain


@dataclass(frozen=True, eq=False)
class _Bucket:
    pairs: DiverseBatches
    widths: tuple[int, int]
    size: int


class PairBatches:
    """Draws batches of exactly `batch_pairs` rows.

    Where the data has too few different pairs for a diverse batch, the rest of the rows are copies
    of its first pair, with weight 0 and as nobody's negatives.

    Example:
        batches = PairBatches(texts, pairs, encoder.tokenizer, batch_pairs=64, multiple=8)
        (batch,) = batches.batches(seed=0, step=3)
    """

    def __init__(
        self, texts: Sequence[str], pairs: Pairs, tokenizer: Tokenizer, *, batch_pairs: int,
        multiple: int,
    ) -> None:  # fmt: skip
        """`multiple`: a bucket takes lengths above k · multiple, up to (k + 1) · multiple.

        Raises:
            DataError: there are fewer than two pairs, or one names a text that is not there.
        """
        _check(pairs, len(texts))
        self._rows = tokenizer.rows(texts)
        self._pad_id, self._batch = tokenizer.pad_id, batch_pairs
        self._groups = near_duplicate_groups(texts)
        self._all = DiverseBatches(pairs, self._groups, batch_pairs)
        lengths = np.asarray([len(row) for row in self._rows])
        sides = np.stack([lengths[pairs.anchor], lengths[pairs.positive]])
        steps = -(-sides.max(axis=0) // multiple)
        self._buckets = [
            self._bucket(pairs, sides, places) for places in _grouped(steps, _FILLED * batch_pairs)
        ]
        sizes = np.asarray([bucket.size for bucket in self._buckets])
        self._chances = sizes / sizes.sum()
        self._lengths = sides

    @property
    def widths(self) -> list[tuple[int, int]]:
        """Of each bucket, the width of the left and of the right side."""
        return [bucket.widths for bucket in self._buckets]

    @property
    def chances(self) -> npt.NDArray[np.float64]:
        """How likely each bucket is drawn."""
        return np.asarray(self._chances)

    def rows(
        self, texts: npt.NDArray[np.integer], width: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Ids and mask int32 [texts, width]."""
        return pad_rows([self._rows[text] for text in texts], width, self._pad_id)

    def longest(self, texts: Iterable[int]) -> int:
        """Word pieces of the longest of `texts`."""
        return max(len(self._rows[text]) for text in texts)

    def accidental(
        self, anchors: npt.NDArray[np.integer], candidates: npt.NDArray[np.integer]
    ) -> npt.NDArray[np.bool_]:
        """bool [anchors, candidates], see `DiverseBatches.accidental`; -1 is an empty place."""
        return self._all.accidental(anchors, candidates)

    @property
    def groups(self) -> npt.NDArray[np.int32]:
        """int32 [texts], near-duplicates share a number."""
        return self._groups

    def tokens(self, *, seed: int) -> TokenCount:
        """What one pass over the pairs reads; `seed` draws the random batches."""
        bucketed = sum(bucket.size * sum(bucket.widths) for bucket in self._buckets)
        order = np.random.default_rng(seed).permutation(self._lengths.shape[1])
        plain = 0
        for begin in range(0, len(order), self._batch):
            part = self._lengths[:, order[begin : begin + self._batch]]
            plain += int(part.max(axis=1).sum()) * part.shape[1]
        return TokenCount(int(self._lengths.sum()), bucketed, plain)

    def batches(self, *, seed: int, step: int, count: int = 1) -> list[Batch]:
        """The `count` batches of one step, all of one bucket, so that a step has few shapes.

        Their constants are `accidental` and `weight`, as `objectives.contrastive` takes them.
        """
        random = np.random.default_rng((seed, step, 1))  # DiverseBatches draws from (seed, step)
        bucket = int(random.choice(len(self._buckets), p=self._chances))
        return self.of_bucket(bucket, seed=seed, step=step, count=count)

    def of_bucket(self, place: int, *, seed: int, step: int = 0, count: int = 1) -> list[Batch]:
        """The same, of the bucket at `place` in `widths`."""
        bucket = self._buckets[place]
        return [self._one(bucket, seed, step * count + number) for number in range(count)]

    def _one(self, bucket: _Bucket, seed: int, number: int) -> Batch:
        drawn = bucket.pairs.batch(seed=seed, step=number)
        real = len(drawn.anchor)
        places = np.concatenate([np.arange(real), np.zeros(self._batch - real, np.int64)])
        anchor, positive = drawn.anchor[places], drawn.positive[places]
        accidental = self._all.accidental(anchor, positive)
        accidental[:, real:] = True
        np.fill_diagonal(accidental, False)
        weight = (np.arange(self._batch) < real).astype(np.float32)
        sides = (self.rows(anchor, bucket.widths[0]), self.rows(positive, bucket.widths[1]))
        return Batch(sides, (accidental, weight), (drawn.anchor, drawn.positive))

    def _bucket(
        self, pairs: Pairs, lengths: npt.NDArray[np.int64], places: npt.NDArray[np.int64]
    ) -> _Bucket:
        part = replace(
            pairs,
            anchor=pairs.anchor[places],
            positive=pairs.positive[places],
            weight=pairs.weight[places],
            source=pairs.source[places],
        )
        left, right = (int(side.max()) for side in lengths[:, places])
        return _Bucket(DiverseBatches(part, self._groups, self._batch), (left, right), len(places))


def pad_rows(
    rows: Rows, width: int, pad_id: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Ids and mask int32 [rows, width] of rows that are at most `width` long."""
    ids = np.full((len(rows), width), pad_id, np.int32)
    mask = np.zeros_like(ids)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = row
        mask[place, : len(row)] = 1
    return ids, mask


def _grouped(steps: npt.NDArray[np.int64], least: int) -> list[npt.NDArray[np.int64]]:
    """Places by step of length; one below `least` joins the next, at the end the last."""
    groups: list[npt.NDArray[np.int64]] = []
    waiting = np.empty(0, np.int64)
    for step in np.unique(steps):
        waiting = np.concatenate([waiting, np.flatnonzero(steps == step)])
        if len(waiting) >= least:
            groups.append(waiting)
            waiting = np.empty(0, np.int64)
    if len(waiting) and groups:
        groups[-1] = np.concatenate([groups[-1], waiting])
    elif len(waiting):
        groups.append(waiting)
    return [np.sort(group) for group in groups]


def _check(pairs: Pairs, texts: int) -> None:
    if len(pairs) < 2:
        raise DataError(
            f"tuning an encoder needs at least 2 pairs of texts, got {len(pairs)}; "
            "import more interactions, or leave finetune.mode at frozen"
        )
    largest = int(max(pairs.anchor.max(), pairs.positive.max()))
    if largest >= texts:
        raise DataError(f"the pairs name text {largest}, there are {texts} texts")
