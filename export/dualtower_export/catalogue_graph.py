"""The catalogue inside of a graph: ids and texts to rows, rows to vectors.

The tables are StaticHashTables with their keys in the graph, which any TensorFlow server
initialises by itself; the vectors are one variable that all signatures of a model share. Rows are
gathered from its value: `tf.gather` on the variable would turn into a ResourceGather, after which
TensorFlow copies the whole table at each read, that of the retrieval among them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from dualtower_export.catalogue_index import CatalogueIndex

__all__ = ["CatalogueGraph"]

_UNKNOWN = -1


class CatalogueGraph(tf.Module):
    """Lookups over a catalogue of n items.

    Args:
        index: ids and texts of the rows.
        vectors: float32 [n, dim], one a row.
    """

    def __init__(self, index: CatalogueIndex, vectors: np.ndarray) -> None:
        super().__init__(name="catalogue")
        self._ids = _table(index.item_ids, np.arange(len(index.item_ids)))
        self._texts = _table(index.distinct_texts, index.first_rows)
        self._vectors = tf.Variable(vectors, trainable=False, dtype=tf.float32, name="vectors")
        # rows that share their text, one group behind the other; empty where no two do
        self._shared = not index.texts_are_distinct
        if self._shared:
            self._group_start = tf.constant(index.group_start, tf.int32)
            self._group_size = tf.constant(index.group_size, tf.int32)
            self._members = tf.constant(index.members, tf.int32)

    @property
    def vectors(self) -> tf.Variable:
        """float32 [n, dim]."""
        return self._vectors

    def rows_of_ids(self, item_ids: tf.Tensor) -> tf.Tensor:
        """int32 rows of string ids of any shape; -1 for an unknown one."""
        return self._ids.lookup(item_ids)

    def rows_of_texts(self, texts: tf.Tensor) -> tf.Tensor:
        """int32 rows of texts of any shape, the first row of a shared text; -1 if unknown."""
        return self._texts.lookup(texts)

    def vectors_of_rows(self, rows: tf.Tensor) -> tf.Tensor:
        """float32 [entries, dim] of known int32 rows [entries]."""
        return tf.gather(self._vectors.read_value(), rows)

    def vectors_of_texts(
        self, texts: tf.Tensor, encode: Callable[[tf.Tensor], tf.Tensor]
    ) -> tf.Tensor:
        """float32 [entries, dim] of texts [entries]: looked up where known, else encoded.

        Args:
            texts: string [entries].
            encode: string [m] -> float32 [m, dim]. It sees each unknown text once, and does not
                run at all when every text is known.
        """
        rows = self.rows_of_texts(texts)
        known = tf.gather(self._vectors.read_value(), tf.maximum(rows, 0))
        unknown = tf.where(rows < 0)

        def filled() -> tf.Tensor:
            fresh, kind = tf.unique(tf.gather_nd(texts, unknown))
            return tf.tensor_scatter_nd_update(known, unknown, tf.gather(encode(fresh), kind))

        return tf.cond(tf.size(unknown) > 0, filled, lambda: known)

    def rows_of_same_text(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """All rows whose text is that of each of the known `rows` [entries].

        Returns:
            The rows int32 [m], and for each the entry that it came from, int32 [m].
        """
        entries = tf.range(tf.size(rows))
        if not self._shared:
            return rows, entries
        size = tf.gather(self._group_size, rows)
        source = tf.repeat(entries, size)
        within = tf.range(tf.size(source)) - tf.gather(tf.cumsum(size, exclusive=True), source)
        start = tf.gather(tf.gather(self._group_start, rows), source)
        return tf.gather(self._members, start + within), source


def _table(keys: np.ndarray, rows: np.ndarray) -> tf.lookup.StaticHashTable:
    initializer = tf.lookup.KeyValueTensorInitializer(
        tf.constant(list(keys), tf.string), tf.constant(rows, tf.int32)
    )
    return tf.lookup.StaticHashTable(initializer, default_value=_UNKNOWN)
