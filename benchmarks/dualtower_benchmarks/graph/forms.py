"""A BERT graph from the way it is written in textbooks to the way it is served, trick by trick.

Each form of FORMS adds one trick to the form above it; the last three are `ServingBert` itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from dualtower_export.serving_bert import ServingBert
from dualtower_export.serving_form import ServingForm
from dualtower_export.serving_weights import layer_weights
from dualtower_trainer.bert import MASK_BIAS
from dualtower_trainer.bert_config import ACTIVATIONS, BertConfig

__all__ = ["FORMS", "JOINED", "SERVED", "GraphForm", "build_form"]

_Encoder = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class GraphForm:
    """How one row of the table is made.

    Attributes:
        name: in the table.
        onednn: whether TensorFlow uses oneDNN; it is off by default on some processors.
        constants: weights as constants and not as variables.
        flat: hidden states as [tokens, hidden], so that biases and GELU are fused with products.
        joined: one product for q, k and v, with the attention's scale in its weights.
        served: the form of `ServingBert`, which has all of these; None for a textbook's graph.
        op_threads: threads of one op; 0: all that the engine has.
    """

    name: str
    onednn: bool = True
    constants: bool = True
    flat: bool = True
    joined: bool = True
    served: ServingForm | None = None
    op_threads: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """Variables that must be set before TensorFlow is imported."""
        return {"TF_ENABLE_ONEDNN_OPTS": str(int(self.onednn))}


JOINED = GraphForm("+ q, k and v in one, scale in the weights")
SERVED = GraphForm(
    "+ in two shards, a thread an op: the served form", served=ServingForm(), op_threads=1
)
FORMS = (
    GraphForm("naive", onednn=False, constants=False, flat=False, joined=False),
    GraphForm("+ oneDNN", constants=False, flat=False, joined=False),
    GraphForm("+ weights as constants", flat=False, joined=False),
    GraphForm("+ 2-D products, fused", joined=False),
    JOINED,
    GraphForm("+ real tokens alone", served=ServingForm(copies=1, shards=1)),
    GraphForm("+ few tokens apart", served=ServingForm(shards=1)),
    SERVED,
)


def build_form(
    form: GraphForm, config: BertConfig, tensors: Mapping[str, np.ndarray]
) -> tuple[_Encoder, list[tf.Variable]]:
    """(ids, mask) int32 [batch, tokens] -> pooled float32 [batch, hidden], and its variables."""
    if form.served is not None:
        bert = ServingBert(config, tensors, form.served)
        return (lambda ids, mask: bert([ids, mask])), bert.variables
    textbook = _Textbook(form, config, tensors)
    return textbook, textbook.variables


class _Textbook:
    """BERT as Devlin et al. 2018 write it (https://arxiv.org/abs/1810.04805)."""

    def __init__(
        self, form: GraphForm, config: BertConfig, tensors: Mapping[str, np.ndarray]
    ) -> None:
        self._form, self._config = form, config
        self._tensors: dict[str, np.ndarray | tf.Variable] = {
            name: np.ascontiguousarray(value.T) if ".dense." in name or ".self." in name else value
            for name, value in tensors.items()
        }
        if form.joined:
            for index in range(config.num_hidden_layers):
                weights = layer_weights(config, tensors, index)
                self._tensors[f"encoder.layer.{index}.attention.self.weight"] = weights.qkv
                self._tensors[f"encoder.layer.{index}.attention.self.bias"] = weights.qkv_bias
        self.variables: list[tf.Variable] = []
        if not form.constants:
            self._tensors = {name: tf.Variable(value) for name, value in self._tensors.items()}
            self.variables = list(self._tensors.values())  # type: ignore[arg-type]

    def __call__(self, ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        config, shape = self._config, tf.shape(ids)
        bias = tf.cast(1 - mask, tf.float32)[:, tf.newaxis, tf.newaxis, :] * MASK_BIAS
        x = tf.gather(self._tensor("embeddings.word_embeddings.weight"), ids)
        x += self._tensor("embeddings.position_embeddings.weight")[: shape[1]]
        x += self._tensor("embeddings.token_type_embeddings.weight")[0]
        if self._form.flat:
            x = tf.reshape(x, [-1, config.hidden_size])
        x = self._norm(x, "embeddings.LayerNorm")
        for index in range(config.num_hidden_layers):
            at = f"encoder.layer.{index}"
            mixed = self._attention(x, bias, shape, f"{at}.attention.self")
            mixed = self._dense(mixed, f"{at}.attention.output.dense") + x
            x = self._norm(mixed, f"{at}.attention.output.LayerNorm")
            inner = self._dense(x, f"{at}.intermediate.dense")
            inner = tf.nn.gelu(inner, approximate=ACTIVATIONS[config.hidden_act])
            x = self._norm(self._dense(inner, f"{at}.output.dense") + x, f"{at}.output.LayerNorm")
        weights = tf.cast(mask, tf.float32)[:, :, tf.newaxis]
        states = tf.reshape(x, tf.concat([shape, [config.hidden_size]], axis=0))
        count = tf.maximum(tf.reduce_sum(weights, axis=1), 1.0)
        return tf.reduce_sum(states * weights, axis=1) / count

    def _attention(self, x: tf.Tensor, bias: tf.Tensor, shape: tf.Tensor, at: str) -> tf.Tensor:
        heads, size = self._config.num_attention_heads, self._config.head_size
        split = tf.concat([shape, [heads, size]], axis=0)
        if self._form.joined:
            wide = tf.reshape(self._dense(x, at), tf.concat([shape, [3, heads, size]], axis=0))
            q, k, v = tf.unstack(tf.transpose(wide, [2, 0, 3, 1, 4]))
            scores = tf.matmul(q, k, transpose_b=True) + bias
        else:
            q, k, v = (
                tf.transpose(tf.reshape(self._dense(x, f"{at}.{part}"), split), [0, 2, 1, 3])
                for part in ("query", "key", "value")
            )
            scores = tf.matmul(q, k, transpose_b=True) * size**-0.5 + bias
        mixed = tf.transpose(tf.matmul(tf.nn.softmax(scores), v), [0, 2, 1, 3])
        return tf.reshape(mixed, tf.shape(x))

    def _dense(self, x: tf.Tensor, name: str) -> tf.Tensor:
        matrix, bias = self._tensor(f"{name}.weight"), self._tensor(f"{name}.bias")
        product = tf.matmul(x, matrix) if self._form.flat else tf.tensordot(x, matrix, 1)
        return tf.nn.bias_add(product, bias)

    def _norm(self, x: tf.Tensor, name: str) -> tf.Tensor:
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        return tf.nn.batch_normalization(
            x, mean, variance, self._tensor(f"{name}.bias"), self._tensor(f"{name}.weight"),
            self._config.layer_norm_eps,
        )  # fmt: skip

    def _tensor(self, name: str) -> tf.Tensor:
        return tf.convert_to_tensor(self._tensors[name])
