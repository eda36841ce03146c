"""More negatives than a batch has: right sides of earlier batches, and texts mined to be hard.

    PairBatches ─► + mined texts (a third side) + queue (constants) ─► step ─► right sides ─► queue

Mined texts and the queue come from weights that a state no longer holds, so a state holds them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dualtower.progress import say
from dualtower_trainer.finetune.batches import Batch, PairBatches
from dualtower_trainer.finetune_config import FinetuneConfig
from dualtower_trainer.pairs import EmbeddingQueue, HardNegativeMiner, Pairs

__all__ = ["Encode", "TextNegatives"]

Encode = Callable[[np.ndarray, np.ndarray], np.ndarray]  # ids, mask -> unit vectors [rows, dim]
_ENCODED_AT_ONCE, _WIDTHS = 128, 8


class TextNegatives:
    """Adds negatives to the batches of a tuning, and keeps what the next steps need.

    Args:
        batches: where the batches come from.
        pairs: what they are drawn from.
        config: section [finetune].
        dim: of the encoder's vectors.

    Example:
        more = negatives.add(batches.batches(seed=0, step=step), step, tuner.encode)
        negatives.keep(more, tuner.step(more, step).right)
    """

    def __init__(
        self, batches: PairBatches, pairs: Pairs, config: FinetuneConfig, dim: int
    ) -> None:
        self._batches, self._config, self._dim = batches, config, dim
        self._queue = EmbeddingQueue(config.queue, dim) if config.queue else None
        self._miner: HardNegativeMiner | None = None
        if config.hard_negatives:
            self._anchors, self._left = np.unique(pairs.anchor, return_inverse=True)
            self._pool, self._right = np.unique(pairs.positive, return_inverse=True)
            self._width = batches.longest(self._pool)  # one for all, so that a step has few shapes
            self._miner = HardNegativeMiner(
                self._excluded(), config.mining(), groups=batches.groups[self._pool],
                seed=config.seed,
            )  # fmt: skip

    def add(self, batches: Sequence[Batch], step: int, encode: Encode) -> list[Batch]:
        """The batches of `step` with the negatives that it has; `encode` by the weights of now."""
        config = self._config
        miner = self._miner if step >= config.hard_warmup else None
        queue = self._queue if step >= config.queue_warmup else None
        if miner is not None and miner.due(step):
            self._mine(miner, step, encode)
        if miner is None and queue is None:
            return list(batches)
        return [self._more(batch, miner, queue) for batch in batches]

    def keep(self, batches: Sequence[Batch], right: Sequence[np.ndarray]) -> None:
        """Takes the right sides of a step that was applied, float32 [rows, dim] for each batch."""
        if self._queue is not None:
            for batch, vectors in zip(batches, right, strict=True):
                texts = batch.texts[1]
                self._queue.push(texts, vectors[: len(texts)])

    def state(self) -> dict[str, np.ndarray]:
        """Everything that a resumed run needs, by name."""
        return {
            f"{kind}/{name}": np.asarray(value)
            for kind, part in self._parts().items()
            for name, value in part.state().items()
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """The inverse of `state`; KeyError or ValueError when it is of another tuning."""
        for kind, part in self._parts().items():
            part.restore({name: state[f"{kind}/{name}"] for name in part.state()})

    def _parts(self) -> dict[str, EmbeddingQueue | HardNegativeMiner]:
        parts = {"queue": self._queue, "hard": self._miner}
        return {kind: part for kind, part in parts.items() if part is not None}

    def _more(
        self, batch: Batch, miner: HardNegativeMiner | None, queue: EmbeddingQueue | None
    ) -> Batch:
        rows, real = len(batch.sides[0][0]), len(batch.texts[0])
        anchors = np.resize(batch.texts[0], rows)
        anchors[real:] = batch.texts[0][0]
        sides, others = batch.sides, []
        if miner is not None:
            places = miner.of(np.searchsorted(self._anchors, anchors)).ravel()
            mined = np.where(places >= 0, self._pool[places], -1).astype(np.int32)
            mined[real * self._config.hard_negatives :] = -1
            sides = (*sides, self._batches.rows(np.maximum(mined, 0), self._width))
            others.append(mined)
        vectors = np.zeros((0, self._dim), np.float32)
        if queue is not None:
            others.append(queue.ids)
            vectors = queue.vectors
        accidental = self._batches.accidental(anchors, np.concatenate(others))
        return replace(batch, sides=sides, constants=(*batch.constants, accidental, vectors))

    def _mine(self, miner: HardNegativeMiner, step: int, encode: Encode) -> None:
        anchors, pool = self._encode(self._anchors, encode), self._encode(self._pool, encode)
        cosines = np.einsum("pd,pd->p", anchors[self._left], pool[self._right])
        count = np.bincount(self._left)
        mean = np.bincount(self._left, weights=cosines) / count
        mined = miner.refresh(step, anchors, pool, mean.astype(np.float32))
        say(f"  step {step}: {mined.mask.sum() / len(anchors):.1f} hard negatives a text")

    def _encode(self, texts: npt.NDArray[np.integer], encode: Encode) -> np.ndarray:
        """Unit vectors float32 [texts, dim]; texts of like length go together, in few shapes."""
        lengths = np.asarray([self._batches.longest([text]) for text in texts])
        order = np.argsort(lengths, kind="stable")
        vectors = np.zeros((len(texts), self._dim), np.float32)
        for start in range(0, len(order), _ENCODED_AT_ONCE):
            places = order[start : start + _ENCODED_AT_ONCE]
            width = -(-lengths[places[-1]] // _WIDTHS) * _WIDTHS
            width = min(width, lengths[order[-1]])
            filled = np.resize(texts[places], _ENCODED_AT_ONCE)
            vectors[places] = encode(*self._batches.rows(filled, int(width)))[: len(places)]
        return vectors

    def _excluded(self) -> list[npt.NDArray[np.int64]]:
        """For each left side the places in the pool of its right sides, and of itself."""
        order = np.argsort(self._left, kind="stable")
        ends = np.cumsum(np.bincount(self._left))
        own = np.searchsorted(self._pool, self._anchors)
        excluded = np.split(self._right[order], ends[:-1])
        for place, (text, row) in enumerate(zip(self._anchors, own, strict=True)):
            if row < len(self._pool) and self._pool[row] == text:
                excluded[place] = np.append(excluded[place], row)
        return excluded
