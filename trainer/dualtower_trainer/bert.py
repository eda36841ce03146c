"""One BERT encoder, functional tf_keras, for training, the server and the phone.

    ids, mask int32 [batch, tokens] ─► embeddings ─► L × (attention, feed-forward) ─► masked mean
                                                                     pooled float32 [batch, hidden]

Post-LayerNorm BERT as in Devlin et al. 2018 (https://arxiv.org/abs/1810.04805), without dropout and
without the next-sentence pooler; weights come from any Hugging Face BERT by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf
import tf_keras

from dualtower.errors import UsageError
from dualtower_trainer import bert_layers as layers
from dualtower_trainer.bert_config import ACTIVATIONS, BertConfig
from dualtower_trainer.bert_weights import canonical_tensors

__all__ = ["MASK_BIAS", "BertConfig", "build_bert", "load_weights", "read_weights"]

# Added to the score of a pad. exp(-1e4) is exactly zero in float32, and 1e4 is finite in float16.
MASK_BIAS = -1e4


def build_bert(
    config: BertConfig,
    *,
    tokens: int | None = None,
    batch: int | None = None,
    mask_bias: float = MASK_BIAS,
    name: str = "bert",
) -> tf_keras.Model:
    """A BERT whose weights are zeros until `load_weights` fills them in.

    Args:
        config: the sizes.
        tokens: a fixed sequence length (TFLite), or None for any up to max_position_embeddings.
        batch: a fixed batch, or None for any.
        mask_bias: what a pad adds to attention scores; 8-bit activations want a smaller one.
        name: the model's name.

    Returns:
        A model from `ids` and `mask`, int32 [batch, tokens], to `pooled` float32 [batch, hidden]:
        the mean of the last hidden states where mask is 1, zeros for a row that is all padding.
    """
    if tokens is not None and not 1 <= tokens <= config.max_position_embeddings:
        raise UsageError(
            f"tokens must lie in 1..{config.max_position_embeddings} "
            f"(max_position_embeddings), got {tokens}"
        )
    ids = tf_keras.Input(batch_shape=(batch, tokens), dtype=tf.int32, name="ids")
    mask = tf_keras.Input(batch_shape=(batch, tokens), dtype=tf.int32, name="mask")
    bias = layers.AttentionMask(mask_bias, name="attention_mask")(mask)
    words = layers.TokenEmbedding(config.vocab_size, config.hidden_size, name="words")(ids)
    x = layers.PositionEmbedding(
        config.max_position_embeddings, config.type_vocab_size, config.hidden_size, name="positions"
    )(words)
    x = layers.PlainLayerNorm(config.layer_norm_eps, name="embedding_norm")(x)
    for index in range(config.num_hidden_layers):
        x = _layer(config, x, bias, f"layer_{index}")
    pooled = layers.MaskedMean(name="pooled")([x, mask])
    return tf_keras.Model(inputs=[ids, mask], outputs=pooled, name=name)


def load_weights(model: tf_keras.Model, tensors: Mapping[str, np.ndarray]) -> None:
    """Sets the weights of `build_bert`'s model from tensors with Hugging Face names.

    Raises:
        UsageError: a tensor is missing, unknown, or of another shape; the model is then unchanged.
    """
    canonical = canonical_tensors(_config_of(model), tensors)
    for variable, names, transposed in _variables(model):
        value = np.concatenate([canonical[name] for name in names])
        variable.assign(value.T if transposed else value)


def read_weights(model: tf_keras.Model) -> dict[str, np.ndarray]:
    """The weights of `build_bert`'s model, float32, under Hugging Face names without a prefix."""
    tensors: dict[str, np.ndarray] = {}
    for variable, names, transposed in _variables(model):
        value = variable.numpy()
        parts = np.split(value.T if transposed else value, len(names))
        tensors.update(
            (name, np.ascontiguousarray(part)) for name, part in zip(names, parts, strict=True)
        )
    return dict(sorted(tensors.items()))


def _layer(config: BertConfig, x: tf.Tensor, bias: tf.Tensor, name: str) -> tf.Tensor:
    """One transformer layer over x [batch * tokens, hidden]."""
    projected = _dense(3 * config.hidden_size, f"{name}_qkv")(x)
    core = layers.AttentionCore(
        config.num_attention_heads, config.head_size, name=f"{name}_attention"
    )
    attended = _dense(config.hidden_size, f"{name}_attention_out")(core([projected, bias]))
    x = tf_keras.layers.Add(name=f"{name}_attention_add")([attended, x])
    x = layers.PlainLayerNorm(config.layer_norm_eps, name=f"{name}_attention_norm")(x)
    inner = _dense(config.intermediate_size, f"{name}_inner")(x)
    inner = layers.Gelu(ACTIVATIONS[config.hidden_act], name=f"{name}_gelu")(inner)
    out = _dense(config.hidden_size, f"{name}_out")(inner)
    x = tf_keras.layers.Add(name=f"{name}_add")([out, x])
    return layers.PlainLayerNorm(config.layer_norm_eps, name=f"{name}_norm")(x)


def _dense(units: int, name: str) -> tf_keras.layers.Dense:
    return tf_keras.layers.Dense(units, kernel_initializer="zeros", name=name)


def _config_of(model: tf_keras.Model) -> BertConfig:
    """The sizes, read off the layers, so that a cloned model has them too."""
    words, positions = model.get_layer("words"), model.get_layer("positions")
    inner = model.get_layer("layer_0_inner")
    known = {approximate: act for act, approximate in reversed(ACTIVATIONS.items())}
    return BertConfig(
        vocab_size=words.vocab_size,
        hidden_size=words.hidden,
        num_hidden_layers=sum(layer.name.endswith("_qkv") for layer in model.layers),
        num_attention_heads=model.get_layer("layer_0_attention").heads,
        intermediate_size=inner.units,
        max_position_embeddings=positions.positions,
        type_vocab_size=positions.segments,
        layer_norm_eps=model.get_layer("embedding_norm").epsilon,
        hidden_act=known[model.get_layer("layer_0_gelu").approximate],
    )


def _variables(model: tf_keras.Model) -> Iterator[tuple[tf.Variable, list[str], bool]]:
    """Each variable, the tensors that it is stacked from, and whether it is transposed."""
    positions = model.get_layer("positions")
    yield model.get_layer("words").table, ["embeddings.word_embeddings.weight"], False
    yield positions.position_table, ["embeddings.position_embeddings.weight"], False
    yield positions.segment_table, ["embeddings.token_type_embeddings.weight"], False
    yield from _norm(model, "embedding_norm", "embeddings.LayerNorm")
    for index in range(_config_of(model).num_hidden_layers):
        ours, theirs = f"layer_{index}", f"encoder.layer.{index}"
        heads = [f"{theirs}.attention.self.{part}" for part in ("query", "key", "value")]
        yield from _kernel(model, f"{ours}_qkv", heads)
        yield from _kernel(model, f"{ours}_attention_out", [f"{theirs}.attention.output.dense"])
        yield from _norm(model, f"{ours}_attention_norm", f"{theirs}.attention.output.LayerNorm")
        yield from _kernel(model, f"{ours}_inner", [f"{theirs}.intermediate.dense"])
        yield from _kernel(model, f"{ours}_out", [f"{theirs}.output.dense"])
        yield from _norm(model, f"{ours}_norm", f"{theirs}.output.LayerNorm")


def _kernel(
    model: tf_keras.Model, layer: str, names: list[str]
) -> Iterator[tuple[tf.Variable, list[str], bool]]:
    dense = model.get_layer(layer)
    yield dense.kernel, [f"{name}.weight" for name in names], True
    yield dense.bias, [f"{name}.bias" for name in names], False


def _norm(
    model: tf_keras.Model, layer: str, name: str
) -> Iterator[tuple[tf.Variable, list[str], bool]]:
    norm = model.get_layer(layer)
    yield norm.gamma, [f"{name}.weight"], False
    yield norm.beta, [f"{name}.bias"], False
