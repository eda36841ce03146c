"""Histories to user embeddings inside of a graph, from texts, from item ids or from tokens."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from dualtower_export.catalogue_graph import CatalogueGraph
from dualtower_export.frozen import freeze
from dualtower_export.history_graph import Entries, compact, distinct_entries, most_recent
from dualtower_export.item_graph import ItemGraph
from dualtower_trainer.towers import TowerConfig

__all__ = ["UserGraph"]


class UserGraph(tf.Module):
    """The user tower over the vectors of a catalogue.

    Each method returns the embedding float32 [batch, dim] and the history's known items as int32
    [m, 2] pairs of batch row and catalogue row (all of them, also those too old to be read), which
    a recommender leaves out. Without any entry the tower gives its learned fallback.
    """

    def __init__(
        self,
        catalogue: CatalogueGraph,
        item: ItemGraph,
        user_tower: tf_keras.Model,
        config: TowerConfig,
        item_tokens: int,
    ) -> None:
        super().__init__(name="user")
        self._catalogue, self._item = catalogue, item
        self._limit, self._tokens = config.history_items, item_tokens
        self._embed = freeze(
            lambda items, mask: user_tower({"items": items, "mask": mask}),
            [
                tf.TensorSpec([None, None, config.dim], tf.float32, "items"),
                tf.TensorSpec([None, None], tf.float32, "mask"),
            ],
        )

    def of_texts(self, history: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """From item texts, string [batch, items], "" pads."""
        present = history != ""
        _, kinds = tf.unique(tf.reshape(history, [-1]))
        entries = distinct_entries(tf.reshape(kinds, tf.shape(history)), present)
        texts = _at(history, entries)
        rows = self._catalogue.rows_of_texts(texts)
        known = tf.where(rows >= 0)[:, 0]
        same, source = self._catalogue.rows_of_same_text(tf.gather(rows, known))
        seen = tf.stack([tf.gather(tf.gather(entries.row, known), source), same], axis=1)
        read = most_recent(entries, self._limit)
        vectors = self._catalogue.vectors_of_texts(_at(history, read), self._item.of_texts)
        return self._pool(vectors, read, tf.shape(history)[0]), seen

    def of_item_ids(self, item_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """From item ids, string [batch, items]; "" and unknown ids are pads."""
        rows = self._catalogue.rows_of_ids(item_ids)
        entries = distinct_entries(rows, rows >= 0)
        seen = tf.stack([entries.row, _at(rows, entries)], axis=1)
        read = most_recent(entries, self._limit)
        vectors = self._catalogue.vectors_of_rows(_at(rows, read))
        return self._pool(vectors, read, tf.shape(rows)[0]), seen

    def of_tokens(self, ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """The embedding alone, from the word pieces of items, int32 [batch, items * item_tokens].

        Items lie side by side, `item_tokens` columns each; columns that do not fill an item are
        taken as if padded. An item without anything but [CLS] is a pad.
        """
        batch, columns = tf.shape(ids)[0], tf.shape(ids)[1]
        items = -(-columns // self._tokens)
        missing = [[0, 0], [0, items * self._tokens - columns]]
        slots = tf.stack([batch * items, self._tokens])
        ids, mask = (tf.reshape(tf.pad(part, missing), slots) for part in (ids, mask))
        ids, mask = self._item.tidy(ids, mask)
        present = tf.reshape(tf.reduce_sum(mask, axis=1) > 1, tf.stack([batch, items]))
        distinct, kinds = tf.raw_ops.UniqueV2(
            x=tf.concat([ids, mask], axis=1), axis=[0], out_idx=tf.int32
        )
        kinds = tf.reshape(kinds, tf.stack([batch, items]))
        read = most_recent(distinct_entries(kinds, present), self._limit)
        wanted, kind = tf.unique(_at(kinds, read))
        ids, mask = tf.split(tf.gather(distinct, wanted), 2, axis=1)
        vectors = tf.gather(self._item.of_tokens(ids, mask), kind)
        return self._pool(vectors, read, batch)

    def _pool(self, vectors: tf.Tensor, entries: Entries, batch: tf.Tensor) -> tf.Tensor:
        return self._embed(*compact(vectors, entries, batch))


def _at(request: tf.Tensor, entries: Entries) -> tf.Tensor:
    """The values of a [batch, items] tensor at the places of entries."""
    return tf.gather_nd(request, tf.stack([entries.row, entries.place], axis=1))
