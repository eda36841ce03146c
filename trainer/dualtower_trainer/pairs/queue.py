"""Vectors of earlier batches as further negatives (cross-batch memory)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

__all__ = ["EmbeddingQueue"]


class EmbeddingQueue:
    """The last `capacity` item vectors with their item ids; the oldest leave first.

    Towers drift slowly once they have warmed up, so that vectors of earlier steps are still good
    negatives (Wang et al. 2020, https://arxiv.org/abs/1912.06798). Shapes never change: an empty
    place has the id -1 and a zero vector, and `accidental_hits` and `DiverseBatches.accidental`
    mask it.

    Example:
        queue = EmbeddingQueue(4096, dim=128)
        loss(..., negatives=queue.vectors, negatives_accidental=batches.accidental(a, queue.ids))
        queue.push(batch.positive, item_vectors)
    """

    def __init__(self, capacity: int, dim: int) -> None:
        if capacity < 1 or dim < 1:
            raise ValueError(f"capacity and dim must be at least 1, got {capacity} and {dim}")
        self._ids = np.full(capacity, -1, np.int32)
        self._vectors = np.zeros((capacity, dim), np.float32)
        self._pushed = 0

    def __len__(self) -> int:
        return min(self._pushed, self.capacity)

    @property
    def capacity(self) -> int:
        return len(self._ids)

    @property
    def ids(self) -> npt.NDArray[np.int32]:
        """int32 [capacity], -1 where nothing is yet; a copy, in the order of `vectors`."""
        return self._ids.copy()

    @property
    def vectors(self) -> npt.NDArray[np.float32]:
        """float32 [capacity, dim]; a copy."""
        return self._vectors.copy()

    def push(self, ids: npt.ArrayLike, vectors: npt.ArrayLike) -> None:
        """Adds int ids [n], not negative, and their vectors [n, dim], oldest first.

        Raises:
            ValueError: shapes that do not fit, a negative id, or a vector that is not finite.
        """
        new_ids, new_vectors = np.asarray(ids, np.int32), np.asarray(vectors, np.float32)
        dim = self._vectors.shape[1]
        if new_ids.ndim != 1 or new_vectors.shape != (len(new_ids), dim):
            raise ValueError(
                f"push takes ids [n] and vectors [n, {dim}], got {new_ids.shape} and "
                f"{new_vectors.shape}"
            )
        if (new_ids < 0).any() or not np.isfinite(new_vectors).all():
            raise ValueError("ids must not be negative and vectors must be finite")
        kept = min(len(new_ids), self.capacity)
        first = self._pushed + len(new_ids) - kept
        places = (first + np.arange(kept)) % self.capacity
        self._ids[places] = new_ids[len(new_ids) - kept :]
        self._vectors[places] = new_vectors[len(new_ids) - kept :]
        self._pushed += len(new_ids)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Everything that a resumed training needs, as arrays."""
        return {
            "ids": self.ids,
            "vectors": self.vectors,
            "pushed": np.asarray(self._pushed, np.int64),
        }

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """The inverse of `state`, into a queue of the same capacity and dim."""
        if state["vectors"].shape != self._vectors.shape:
            raise ValueError(
                f"the saved queue is {state['vectors'].shape}, this one {self._vectors.shape}; "
                "make it with the capacity and dim of the run that saved it"
            )
        self._ids[...] = state["ids"]
        self._vectors[...] = state["vectors"]
        self._pushed = int(state["pushed"])
