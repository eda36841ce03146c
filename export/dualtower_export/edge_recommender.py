"""The recommender as a phone runs it: user tower, catalogue and top k, by built-in ops alone.

    one file    history rows ─► vectors ─► user tower ─► scores of all items ─► top k
    two files   history rows ─► vectors ─┐          ┌─► scores of all items ─► top k
                         (catalogue)     └► tower ──┘      (catalogue again)

The catalogue is one table of tastes [items, dim - 2], which serves the lookup of a history and the
ranking. As int8 every row has a step of its own, and weight and rest, which would take all digits
of a row, stand apart: int16 in fixed point, where no converter rounds them further.

Taken items are pushed out of reach rather than skipped: a score lies in -1..1, so less _FAR any
other comes first.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from dualtower_export.edge_user_tower import split_user_tower
from dualtower_export.quiet import quiet_tensorflow
from dualtower_trainer.checkpoint import Trained
from dualtower_trainer.wide_layer import embedding_lookup

__all__ = ["FORMS", "CatalogueTable", "convert_recommender"]

Signatures = dict[str, tf.types.experimental.PolymorphicFunction]

# a product of unit vectors and what int8 adds to it stay within 2
_FAR = 8.0
_TAKEN = -2.0
# 2^-14 is the least normal number of a float16 file, which would round 2^-15 or less
_FIXED_POINT = 2.0**14


class CatalogueTable(tf.Module):
    """Vectors and ranking of a catalogue of n items.

    Args:
        vectors: float32 [n, dim], of length 1.
        blocked: bool [n], items that are never recommended.
        k: length of a list, at most n.
    """

    def __init__(self, vectors: np.ndarray, blocked: np.ndarray, k: int) -> None:
        super().__init__(name="catalogue")
        self._items, self._dim, self._k = len(vectors), vectors.shape[1], k
        self._tastes = tf.constant(np.ascontiguousarray(vectors[:, :-2]))
        self._rests = tf.constant(np.round(vectors[:, -2:] * _FIXED_POINT).astype(np.int16))
        self._blocked = np.flatnonzero(blocked).astype(np.int32)

    def vectors(self, history: tf.Tensor) -> tf.Tensor:
        """float32 [1, history_items, dim] of catalogue rows int32 [1, history_items]."""
        rows = tf.reshape(history, [-1])
        rests = tf.cast(tf.gather(self._rests, rows), tf.float32) / _FIXED_POINT
        both = tf.concat([embedding_lookup(self._tastes, rows), rests], axis=1)
        return tf.reshape(both, [1, history.shape[1], self._dim])

    def rank(
        self, embedding: tf.Tensor, history: tf.Tensor, mask: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The k best rows of a user that are neither in the history nor blocked.

        Args:
            embedding: float32 [1, dim].
            history: int32 [1, history_items], rows of the catalogue.
            mask: float32 [1, history_items], 1 where a row counts.

        Returns:
            `rows` int32 [1, k], best first, of equal scores the lower row first, and `scores`
            float32 [1, k]. Where fewer than k items remain, the tail has -1 and -inf.
        """
        scores = tf.matmul(embedding[:, :-2], self._tastes, transpose_b=True)
        places, weights = tf.reshape(history, [-1, 1]), tf.reshape(mask, [-1])
        if len(self._blocked):
            places = tf.concat([places, tf.constant(self._blocked[:, None])], axis=0)
            weights = tf.concat([weights, tf.ones([len(self._blocked)])], axis=0)
        taken = tf.scatter_nd(places, weights, [self._items])
        best, rows = tf.math.top_k(scores - _FAR * tf.reshape(taken, [1, -1]), self._k)
        there = tf.cast(best > _TAKEN, tf.int32)
        # log 0 is -inf; as a constant the converter would write the lowest finite number
        return {
            "rows": rows * there + there - 1,
            "scores": best + tf.math.log(tf.cast(there, tf.float32)),
        }


def convert_recommender(trained: Trained, form: str, variant: str, k: int) -> bytes:
    """The TFLite file of one form; `convert()` leaks: use a process for few files.

    Args:
        trained: the run.
        form: one of FORMS.
        variant: "int8", with a step for each row, or "float16".
        k: length of a list, at most the size of the catalogue.
    """
    parts = tf.Module(name=form)
    parts.catalogue = CatalogueTable(trained.vectors, trained.blocked, k)
    signatures = FORMS[form](trained, parts)
    with tempfile.TemporaryDirectory(prefix="dualtower-edge-") as folder, quiet_tensorflow():
        # several signatures share their constants only on this road
        tf.saved_model.save(parts, folder, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, list(signatures))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if variant == "float16":
            converter.target_spec.supported_types = [tf.float16]
        return bytes(converter.convert())


def _one_file(trained: Trained, parts: tf.Module) -> Signatures:
    """`serving_default`: `history` and `mask` [1, history_items] -> `rows` and `scores` [1, k]."""
    tower, table = split_user_tower(trained.user_tower), parts.catalogue
    parts.tower = tower

    def recommend(history: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        items = table.vectors(history) * tf.expand_dims(mask, -1)
        return table.rank(tower({"items": items, "mask": mask}), history, mask)

    history, mask = _history_of(trained)
    return {"serving_default": _function(recommend, history, mask)}


def _catalogue(trained: Trained, parts: tf.Module) -> Signatures:
    """`vectors`: `history` -> `items` [1, history_items, dim], which the user tower reads.

    `rank`: its `embedding`, `history` and `mask` -> `rows` and `scores`.
    """
    history, mask = _history_of(trained)
    embedding = tf.TensorSpec([1, trained.config.dim], tf.float32, "embedding")
    table = parts.catalogue
    return {
        "vectors": _function(lambda history: {"items": table.vectors(history)}, history),
        "rank": _function(table.rank, embedding, history, mask),
    }


def _history_of(trained: Trained) -> tuple[tf.TensorSpec, tf.TensorSpec]:
    shape = [1, trained.config.history_items]
    return tf.TensorSpec(shape, tf.int32, "history"), tf.TensorSpec(shape, tf.float32, "mask")


def _function(
    function: Callable[..., dict[str, tf.Tensor]], *inputs: tf.TensorSpec
) -> tf.types.experimental.PolymorphicFunction:
    return tf.function(function, input_signature=list(inputs), autograph=False)


FORMS: dict[str, Callable[[Trained, tf.Module], Signatures]] = {
    "recommender": _one_file,
    "catalogue": _catalogue,
}
