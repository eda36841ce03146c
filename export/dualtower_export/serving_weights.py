"""A BERT's tensors as the served graph multiplies them: one matrix each for q, k and v together.

Matrices lie [in, out], so that no transpose is left to the graph, and the 1/√head of the attention
is folded into the queries: softmax((q/√d) kᵀ) needs no product of its own then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dualtower_trainer.bert_config import BertConfig

__all__ = ["EmbeddingWeights", "LayerWeights", "embedding_weights", "layer_weights"]


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
