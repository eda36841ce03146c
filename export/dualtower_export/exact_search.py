"""Exact search inside of a graph: over the float32 table, or over codes with a proof.

With codes the k · oversample items of the largest coarse scores are scored again in float32. A code
lies at most `error` from its row, so no other item can score above the last coarse score plus that;
where the k-th new score does, the list is proven. A user whose list is not proven is ranked over
the float32 table. Either way the list is the exact one.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import tensorflow as tf

from dualtower_export.best_rows import Best, nothing
from dualtower_export.index_codes import Codes
from dualtower_export.scan import SCORES_AT_A_TIME, Barred, scan

__all__ = ["CodedSearch", "ExactSearch", "Search", "score_again"]

_ROUNDING = 1e-5  # of two float32 dot products of unit vectors, generously


class Search(Protocol):
    """Ranks items; see `ExactSearch`."""

    def __call__(self, users: tf.Tensor, excluded: tf.Tensor) -> Best: ...


class ExactSearch(tf.Module):
    """All dot products.

    Args:
        vectors: float32 [n, dim].
        blocked: bool [n], items that are never recommended.
        k: length of the lists.
        scores_at_a_time: see `scan`.
    """

    def __init__(
        self,
        vectors: tf.Variable,
        blocked: np.ndarray,
        k: int,
        *,
        scores_at_a_time: int = SCORES_AT_A_TIME,
    ) -> None:
        super().__init__(name="exact_search")
        self._vectors, self._barred = vectors, Barred(blocked)
        self._k, self._scores_at_a_time = k, scores_at_a_time

    def __call__(self, users: tf.Tensor, excluded: tf.Tensor) -> Best:
        """The best rows of users float32 [batch, dim].

        Args:
            users: of length 1.
            excluded: int32 [m, 2], pairs of batch row and item row; repeats do no harm.

        Returns:
            scores float32 [batch, k] and rows int32 [batch, k]; -inf where no item is left.
        """
        return scan(
            lambda start, stop: tf.matmul(self._vectors[start:stop], users, transpose_b=True),
            int(self._vectors.shape[0]),
            tf.shape(users)[0],
            self._k,
            lambda scores, start: self._barred.apply(scores, start, excluded),
            scores_at_a_time=self._scores_at_a_time,
        )


class CodedSearch(tf.Module):
    """Codes first, float32 for the candidates.

    Args:
        codes: of the tastes of all n items, the leading numbers of a vector.
        vectors: float32 [n, dim].
        blocked: bool [n].
        k: length of the lists.
        oversample: how many times k items are scored again.
        scores_at_a_time: see `scan`.
    """

    def __init__(
        self,
        codes: Codes,
        vectors: tf.Variable,
        blocked: np.ndarray,
        k: int,
        oversample: int,
        *,
        scores_at_a_time: int = SCORES_AT_A_TIME,
    ) -> None:
        super().__init__(name="coded_search")
        self._codes = tf.Variable(codes.values, trainable=False, name="codes")
        self._scales = None
        if codes.scales is not None:
            self._scales = tf.Variable(codes.scales, trainable=False, name="scales")
        self._vectors, self._barred = vectors, Barred(blocked)
        self._exact = ExactSearch(vectors, blocked, k, scores_at_a_time=scores_at_a_time)
        self._k, self._candidates = k, min(len(blocked), k * oversample)
        self._margin, self._scores_at_a_time = codes.error + _ROUNDING, scores_at_a_time

    def __call__(self, users: tf.Tensor, excluded: tf.Tensor) -> Best:
        """As `ExactSearch`."""
        coarse, rows = self._coarse(users, excluded)
        scores, rows = score_again(self._vectors, users, coarse, rows, self._k)
        bound = coarse[:, -1] + self._margin * tf.norm(users, axis=1)
        everything = self._candidates == self._codes.shape[0]
        proven = (scores[:, -1] > bound) | tf.math.is_inf(coarse[:, -1]) | everything
        doubtful = tf.where(~proven)[:, 0]

        def ranked_again() -> Best:
            some = tf.cast(doubtful, tf.int32)
            place = tf.cumsum(tf.cast(~proven, tf.int32)) - 1
            theirs = tf.boolean_mask(excluded, ~tf.gather(proven, excluded[:, 0]))
            moved = tf.stack([tf.gather(place, theirs[:, 0]), theirs[:, 1]], axis=1)
            best, at = self._exact(tf.gather(users, some), moved)
            where = some[:, None]
            return (
                tf.tensor_scatter_nd_update(scores, where, best),
                tf.tensor_scatter_nd_update(rows, where, at),
            )

        return tf.cond(tf.size(doubtful) > 0, ranked_again, lambda: (scores, rows))

    def _coarse(self, users: tf.Tensor, excluded: tf.Tensor) -> Best:
        tastes = users[:, : self._codes.shape[1]]

        def scores_of(start: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
            part = tf.cast(self._codes[start:stop], tf.float32)
            scores = tf.matmul(part, tastes, transpose_b=True)
            return scores if self._scales is None else scores * self._scales[start:stop, None]

        return scan(
            scores_of,
            int(self._codes.shape[0]),
            tf.shape(users)[0],
            self._candidates,
            lambda scores, start: self._barred.apply(scores, start, excluded),
            scores_at_a_time=self._scores_at_a_time,
        )


def score_again(
    vectors: tf.Variable, users: tf.Tensor, coarse: tf.Tensor, rows: tf.Tensor, k: int
) -> Best:
    """The k best of candidates by their float32 scores, of equal ones the lower row first.

    Args:
        vectors: float32 [n, dim].
        users: float32 [batch, dim].
        coarse: float32 [batch, m], -inf where there is no candidate.
        rows: int32 [batch, m].
        k: length of the lists, which end in -inf where there are fewer candidates.
    """
    # absent ones behind all rows, where the order of equal scores does not reach
    order = tf.argsort(tf.where(tf.math.is_inf(coarse), tf.int32.max, rows), axis=1, stable=True)
    coarse, rows = (tf.gather(part, order, batch_dims=1) for part in (coarse, rows))
    scores = tf.matmul(tf.gather(vectors.read_value(), rows), users[:, :, None])[:, :, 0]
    scores = tf.where(tf.math.is_inf(coarse), coarse, scores)
    return _first(scores, rows, k)


def _first(scores: tf.Tensor, rows: tf.Tensor, k: int) -> Best:
    none = nothing(tf.shape(scores)[0], k)  # behind: of equal -inf nobody reads the row
    scores, rows = (tf.concat(pair, axis=1) for pair in zip((scores, rows), none, strict=True))
    best, at = tf.math.top_k(scores, k)
    return best, tf.gather(rows, at, batch_dims=1)
