"""The wide part in a graph: piece ids to the weighted sum of their grams' rows.

A pair of pieces is found in two hash tables of which it sits in exactly one (cuckoo hashing, Pagh
and Rodler 2004, https://doi.org/10.1016/j.jalgor.2003.12.002): two gathers and two comparisons of
int32, all of them built-in ops of TF Serving and of TFLite, and no collision is ever taken for a
gram.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from dualtower_trainer.bert_layers import embedding_lookup
from dualtower_trainer.wide import WideVocabulary

__all__ = ["PairTables", "WideBag", "bucket_count", "pair_tables"]

_LARGEST_INT32 = 2**31 - 1
_NO_SQUARES = 1e-3  # below any idf²; a phone's float16 would make a NaN of 1e-12, which it lacks
_MULTIPLIER_CHOICES = 64


class PairTables:
    """Two hash tables from pairs of slots (1 … slots) to gram numbers.

    Attributes:
        multipliers: int32 [2]; pair (a, b) may sit in bucket (a·multiplier + b) mod buckets.
        keys: int32 [2, buckets], a · (slots + 1) + b, or 0.
        grams: int32 [2, buckets], the gram's row, or 0.
    """

    def __init__(self, multipliers: np.ndarray, keys: np.ndarray, grams: np.ndarray) -> None:
        self.multipliers, self.keys, self.grams = multipliers, keys, grams


def pair_tables(pairs: np.ndarray, slots: int, first_gram: int) -> PairTables:
    """Places every pair; deterministic.

    Args:
        pairs: int32 [pairs, 2] of slots from 1.
        slots: the largest slot.
        first_gram: row of the first pair.

    Raises:
        ValueError: too many slots for 32-bit keys.
    """
    if (slots + 1) ** 2 > _LARGEST_INT32:
        raise ValueError(f"{slots} pieces are too many for 32-bit keys of pairs; at most 46,339")
    buckets = max(1, 3 * len(pairs) // 2) | 1
    largest = max(1, min((_LARGEST_INT32 - slots) // (slots + 1), buckets - 1))
    rng = np.random.default_rng(len(pairs))
    for _ in range(_MULTIPLIER_CHOICES):
        multipliers = rng.integers(1, largest + 1, 2)
        placed = _place(pairs, multipliers, buckets)
        if placed is not None:
            break
        buckets = buckets * 5 // 4 | 1
    else:
        raise ValueError(f"no place found for {len(pairs)} pairs of {slots} pieces")
    keys = np.zeros((2, buckets), np.int32)
    grams = np.zeros((2, buckets), np.int32)
    table, bucket = placed
    keys[table, bucket] = pairs[:, 0] * (slots + 1) + pairs[:, 1]
    grams[table, bucket] = first_gram + np.arange(len(pairs))
    return PairTables(multipliers.astype(np.int32), keys, grams)


def bucket_count(vocabulary: WideVocabulary) -> int:
    """Size of the hash tables that hold the vocabulary's pairs."""
    pieces = len(vocabulary.pieces)
    return int(pair_tables(vocabulary.pairs + 1, pieces, pieces + 1).keys.shape[1])


def _place(
    pairs: np.ndarray, multipliers: np.ndarray, buckets: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Table and bucket of each pair, or None where evictions go round in a circle."""
    wide = pairs.astype(np.int64)
    homes = (wide[:, :1] * multipliers[None] + wide[:, 1:]) % buckets
    holder: list[dict[int, int]] = [{}, {}]
    table = np.zeros(len(pairs), np.int64)
    for pair in range(len(pairs)):
        moving, side = pair, 0
        for _ in range(200):
            bucket = int(homes[moving, side])
            evicted = holder[side].get(bucket)
            holder[side][bucket] = moving
            table[moving] = side
            if evicted is None:
                break
            moving, side = evicted, 1 - int(table[evicted])
        else:
            return None
    return table, homes[np.arange(len(pairs)), table]


class WideBag(keras.layers.Layer):
    """int32 ids and mask [batch, tokens] to float32 [batch, units]: Σ idf·table[gram] / √Σ idf².

    Row 0 of the table is that of everything without a gram, and stays zero. A text without any
    known gram gives zeros.

    Args:
        pieces: how many pieces have a row.
        pairs: how many pairs have one.
        buckets: size of each hash table; see `PairTables`.
        vocabulary_size: pieces of the tokeniser.
        units: length of a row.
    """

    def __init__(
        self,
        pieces: int,
        pairs: int,
        buckets: int,
        vocabulary_size: int,
        units: int,
        name: str | None = None,
        **keras_options: Any,
    ) -> None:
        super().__init__(name=name, **keras_options)
        self.pieces, self.pairs, self.buckets = pieces, pairs, buckets
        self.vocabulary_size, self.units = vocabulary_size, units

    def build(self, input_shape: Any) -> None:
        def integers(name: str, *shape: int) -> tf.Variable:
            return self.add_weight(
                name, shape, dtype=tf.int32, initializer="zeros", trainable=False
            )

        grams = self.pieces + self.pairs + 1
        self.slot = integers("slot", self.vocabulary_size)
        self.multipliers = integers("multipliers", 2)
        self.keys = integers("keys", 2, self.buckets)
        self.grams = integers("grams", 2, self.buckets)
        self.idf = self.add_weight("idf", (grams,), initializer="zeros", trainable=False)
        self.table = self.add_weight("table", (grams, self.units), initializer="zeros")

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        gram = self.grams_of(*inputs)
        return self.combine(gram, embedding_lookup(self.table, tf.reshape(gram, [-1])))

    def grams_of(self, ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """int32 [batch, 2 * tokens - 1], the row of each piece and of each pair, or 0."""
        slots = tf.gather(self.slot, ids) * mask
        left, right = slots[:, :-1], slots[:, 1:]
        both = tf.cast(tf.minimum(left, right) > 0, tf.int32)
        key = (left * (self.pieces + 1) + right) * both
        pair = tf.zeros_like(key)
        for side in (0, 1):
            bucket = tf.math.floormod(left * self.multipliers[side] + right, self.buckets)
            same = tf.cast(tf.equal(tf.gather(self.keys[side], bucket), key), tf.int32)
            pair += tf.gather(self.grams[side], bucket) * same * both
        return tf.concat([slots, pair], axis=1)  # a slot is the row of its piece

    def combine(self, gram: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Σ idf·row / √Σ idf², float32 [batch, units], of [batch * columns, units]."""
        weight = tf.gather(self.idf, gram)
        rows *= tf.reshape(weight, [-1, 1])
        total = tf.reduce_sum(tf.reshape(rows, [-1, *_columns(gram), self.units]), axis=1)
        squares = tf.reduce_sum(weight * weight, axis=1, keepdims=True)
        return total * tf.math.rsqrt(tf.maximum(squares, _NO_SQUARES))

    def fill(self, vocabulary: WideVocabulary) -> None:
        """Sets everything but the table."""
        slot = np.zeros(self.vocabulary_size, np.int32)
        slot[vocabulary.pieces] = np.arange(1, len(vocabulary.pieces) + 1)
        tables = pair_tables(vocabulary.pairs + 1, self.pieces, self.pieces + 1)
        self.slot.assign(slot)
        self.multipliers.assign(tables.multipliers)
        self.keys.assign(tables.keys)
        self.grams.assign(tables.grams)
        self.idf.assign(np.concatenate([[0.0], vocabulary.idf]).astype(np.float32))

    def get_config(self) -> dict[str, Any]:
        sizes = {
            name: getattr(self, name)
            for name in ("pieces", "pairs", "buckets", "vocabulary_size", "units")
        }
        return {**super().get_config(), **sizes}


def _columns(gram: tf.Tensor) -> list[int | tf.Tensor]:
    """Length of a row, static where known."""
    return [gram.shape[1] if gram.shape[1] is not None else tf.shape(gram)[1]]
