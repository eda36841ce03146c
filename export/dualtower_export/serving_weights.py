"""A BERT's tensors as the served graph multiplies them: one matrix each for q, k and v together.

Matrices lie [in, out], so that no transpose is left to the graph, and the 1/√head of the attention
is folded into the queries: softmax((q/√d) kᵀ) needs no product of its own then.

A layer falls into *shards* that need one another only in two sums, one behind the attention and one
behind the feed-forward part: a shard has some of the heads and some of the neurons (tensor
parallelism, Shoeybi et al. 2019, https://arxiv.org/abs/1909.08053).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dualtower_trainer.bert_config import BertConfig

__all__ = [
    "EmbeddingWeights",
    "LayerJoint",
    "LayerShard",
    "LayerWeights",
    "embedding_weights",
    "joint_of",
    "layer_weights",
    "shard_count",
    "shards_of",
]


@dataclass(frozen=True)
class EmbeddingWeights:
    """What turns ids into the first hidden states, float32.

    Attributes:
        words: [vocabulary, hidden].
        places: [positions, hidden], with that of segment 0 added.
        gamma, beta: [hidden], of the LayerNorm.
    """

    words: np.ndarray
    places: np.ndarray
    gamma: np.ndarray
    beta: np.ndarray


@dataclass(frozen=True)
class LayerWeights:
    """One transformer layer, float32.

    Attributes:
        qkv, qkv_bias: [hidden, 3 * hidden] and [3 * hidden], the queries scaled.
        mix, mix_bias: [hidden, hidden] and [hidden], behind the attention.
        mix_gamma, mix_beta: [hidden], of the LayerNorm behind that.
        inner, inner_bias: [hidden, intermediate] and [intermediate].
        outer, outer_bias: [intermediate, hidden] and [hidden].
        gamma, beta: [hidden], of the last LayerNorm.
    """

    qkv: np.ndarray
    qkv_bias: np.ndarray
    mix: np.ndarray
    mix_bias: np.ndarray
    mix_gamma: np.ndarray
    mix_beta: np.ndarray
    inner: np.ndarray
    inner_bias: np.ndarray
    outer: np.ndarray
    outer_bias: np.ndarray
    gamma: np.ndarray
    beta: np.ndarray


@dataclass(frozen=True)
class LayerShard:
    """What one shard of a layer multiplies: `heads` of its heads, `neurons` of its neurons.

    Attributes:
        qkv, qkv_bias: [hidden, 3 * heads * head_size] and [3 * heads * head_size].
        mix: [heads * head_size, hidden].
        inner, inner_bias: [hidden, neurons] and [neurons].
        outer: [neurons, hidden].
    """

    qkv: np.ndarray
    qkv_bias: np.ndarray
    mix: np.ndarray
    inner: np.ndarray
    inner_bias: np.ndarray
    outer: np.ndarray


@dataclass(frozen=True)
class LayerJoint:
    """What a layer does to the sums over its shards, [hidden] each; names as in `LayerWeights`."""

    mix_bias: np.ndarray
    mix_gamma: np.ndarray
    mix_beta: np.ndarray
    outer_bias: np.ndarray
    gamma: np.ndarray
    beta: np.ndarray


def shard_count(config: BertConfig, wanted: int) -> int:
    """The largest number up to `wanted` that divides both the heads and the neurons."""
    divided = math.gcd(config.num_attention_heads, config.intermediate_size)
    return max(count for count in range(1, wanted + 1) if divided % count == 0)


def shards_of(weights: LayerWeights, count: int) -> list[LayerShard]:
    """A layer in `count` shards of equal size, a divisor of its heads and neurons."""
    queries_keys_values = np.split(weights.qkv, 3, axis=1), np.split(weights.qkv_bias, 3)
    qkv, qkv_bias = (
        [
            np.concatenate(part, axis=-1)
            for part in zip(*(np.split(one, count, axis=-1) for one in three), strict=True)
        ]
        for three in queries_keys_values
    )
    rows = {
        name: np.split(getattr(weights, name), count, axis=axis)
        for name, axis in (("mix", 0), ("inner", 1), ("inner_bias", 0), ("outer", 0))
    }
    return [
        LayerShard(
            qkv=np.ascontiguousarray(qkv[shard]),
            qkv_bias=qkv_bias[shard],
            **{name: np.ascontiguousarray(parts[shard]) for name, parts in rows.items()},
        )
        for shard in range(count)
    ]


def joint_of(weights: LayerWeights) -> LayerJoint:
    """The rest of a layer."""
    return LayerJoint(
        **{field.name: getattr(weights, field.name) for field in dataclasses.fields(LayerJoint)}
    )


def embedding_weights(tensors: Mapping[str, np.ndarray]) -> EmbeddingWeights:
    """From tensors with Hugging Face names."""
    segment = tensors["embeddings.token_type_embeddings.weight"][0]
    return EmbeddingWeights(
        words=tensors["embeddings.word_embeddings.weight"],
        places=tensors["embeddings.position_embeddings.weight"] + segment,
        gamma=tensors["embeddings.LayerNorm.weight"],
        beta=tensors["embeddings.LayerNorm.bias"],
    )


def layer_weights(
    config: BertConfig, tensors: Mapping[str, np.ndarray], index: int
) -> LayerWeights:
    """Layer `index` from tensors with Hugging Face names, whose matrices lie [out, in]."""
    layer = f"encoder.layer.{index}"
    attention = [f"{layer}.attention.self.{part}" for part in ("query", "key", "value")]
    scale = np.ones((3 * config.hidden_size, 1), np.float32)
    scale[: config.hidden_size] = config.head_size**-0.5
    qkv = np.concatenate([tensors[f"{name}.weight"] for name in attention]) * scale
    qkv_bias = np.concatenate([tensors[f"{name}.bias"] for name in attention]) * scale[:, 0]
    mixing, norm = f"{layer}.attention.output.dense", f"{layer}.attention.output.LayerNorm"
    return LayerWeights(
        qkv=np.ascontiguousarray(qkv.T),
        qkv_bias=qkv_bias,
        mix=np.ascontiguousarray(tensors[f"{mixing}.weight"].T),
        mix_bias=tensors[f"{mixing}.bias"],
        mix_gamma=tensors[f"{norm}.weight"],
        mix_beta=tensors[f"{norm}.bias"],
        inner=np.ascontiguousarray(tensors[f"{layer}.intermediate.dense.weight"].T),
        inner_bias=tensors[f"{layer}.intermediate.dense.bias"],
        outer=np.ascontiguousarray(tensors[f"{layer}.output.dense.weight"].T),
        outer_bias=tensors[f"{layer}.output.dense.bias"],
        gamma=tensors[f"{layer}.output.LayerNorm.weight"],
        beta=tensors[f"{layer}.output.LayerNorm.bias"],
    )
