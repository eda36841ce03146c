"""Texts to item embeddings inside of a graph: tokeniser, BERT, and the item head above both."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf
import tf_keras

from dualtower_export.frozen import freeze
from dualtower_export.length_buckets import buckets_up_to, pad_to_bucket
from dualtower_export.serving_bert import ServingBert
from dualtower_export.serving_form import ServingForm
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.tokenizer_graph import graph_tokenizer

__all__ = ["ItemGraph", "item_function"]


class ItemGraph(tf.Module):
    """The item tower as a pure function of the text: no residual of an item id.

    Args:
        encoder: BERT and its tokeniser.
        item_head: what stands above it; its wide part reads the word pieces themselves.
        form: how BERT is written. As constants a CPU multiplies the weights about a third faster,
            and a session copies them several times over (0.9 GB against 0.2 GB for MiniLM).
        length_buckets: numbers of word pieces to which a batch is padded; see `length_buckets`.
    """

    def __init__(
        self,
        encoder: Encoder,
        item_head: tf_keras.Model,
        form: ServingForm,
        length_buckets: Sequence[int] = (),
    ) -> None:
        super().__init__(name="item")
        tokenizer = encoder.tokenizer
        self._max_tokens, self._cls_id = tokenizer.max_tokens, tokenizer.cls_id
        self._buckets = buckets_up_to(tokenizer.max_tokens, length_buckets)
        self._tokenize = graph_tokenizer(
            tokenizer.vocab, tokenizer.max_tokens, lowercase=tokenizer.lowercase
        )
        tokens = [tf.TensorSpec([None, None], tf.int32, name) for name in ("ids", "mask")]
        bert = ServingBert(encoder.config, encoder.tensors, form)
        embed = item_function(bert, item_head)
        if form.constants:
            self._embed = freeze(embed, tokens)
        else:
            self._embed = tf.function(embed, input_signature=tokens, autograph=False)
            self._weights = [*bert.variables, *item_head.variables]  # saved with the model

    def of_texts(self, texts: tf.Tensor) -> tf.Tensor:
        """float32 [n, dim] of string [n]."""
        return self._embed(*pad_to_bucket(*self._tokenize(texts), self._buckets))

    def of_tokens(self, ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """float32 [n, dim] of int32 [n, tokens] that went through `tidy`.

        Columns that are padding in every row are cut off, up to the next bucket.
        """
        place = tf.range(1, tf.shape(mask)[1] + 1)
        used = tf.reduce_max(tf.concat([[1], tf.reshape(mask * place, [-1])], axis=0))
        return self._embed(*pad_to_bucket(ids[:, :used], mask[:, :used], self._buckets))

    def tidy(self, ids: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids and mask int32 [n, 1..max_tokens] with 0 at every pad, from int32 [n, tokens].

        [CLS] begins a text and is nowhere else in it: a later one comes from the server's padding
        with a tensor's first element (tensorflow/serving#1279) and is a pad.
        """
        short = tf.maximum(1 - tf.shape(ids)[1], 0)
        ids = tf.pad(ids[:, : self._max_tokens], [[0, 0], [0, short]])
        mask = tf.pad(mask[:, : self._max_tokens], [[0, 0], [0, short]])
        later = tf.range(tf.shape(ids)[1]) > 0
        real = (mask > 0) & ~(later & (ids == self._cls_id))
        return tf.where(real, ids, 0), tf.cast(real, tf.int32)


def item_function(
    encoder: Callable[[Sequence[tf.Tensor]], tf.Tensor], item_head: tf_keras.Model
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """(ids, mask) int32 [n, tokens] -> float32 [n, dim], the item tower of an unseen item.

    It is known by its text alone: it has no vector of its own, and none of another modality.
    """

    def embed(ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        pooled = encoder([ids, mask])
        lacking = {
            name: tf.zeros([tf.shape(pooled)[0], item_head.input[name].shape[-1]])
            for name in ("id_vector", "features")
            if name in item_head.input
        }
        return item_head({"pooled": pooled, "ids": ids, "mask": mask, **lacking})

    return embed
