"""How the weights of a BERT are kept while it is tuned: q, k and v side by side, kernels [in, out].

The fused form is what one matrix product per sublayer needs; `split` gives back the tensors that a
Hugging Face folder holds. No TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.finetune_config import FinetuneConfig

__all__ = ["Site", "fuse", "is_trained", "layout", "split"]


@dataclass(frozen=True)
class Site:
    """One weight.

    Attributes:
        name: ours, such as "layer_0/qkv/kernel".
        tensors: the Hugging Face tensors that it is stacked from.
        transposed: whether ours is [in, out] and theirs [out, in].
        depth: 0 for the embeddings, i + 1 for layer i.
        kind: "table", "kernel", "bias", "gamma" or "beta".
    """

    name: str
    tensors: tuple[str, ...]
    transposed: bool
    depth: int
    kind: str


def layout(config: BertConfig) -> list[Site]:
    """Every weight of the encoder, the embeddings first."""
    sites = [
        Site("words", ("embeddings.word_embeddings.weight",), False, 0, "table"),
        Site("positions", ("embeddings.position_embeddings.weight",), False, 0, "table"),
        Site("segments", ("embeddings.token_type_embeddings.weight",), False, 0, "table"),
        *_norm("embedding_norm", "embeddings.LayerNorm", 0),
    ]
    for index in range(config.num_hidden_layers):
        ours, theirs, depth = f"layer_{index}", f"encoder.layer.{index}", index + 1
        heads = tuple(f"{theirs}.attention.self.{part}" for part in ("query", "key", "value"))
        sites += _dense(f"{ours}/qkv", heads, depth)
        sites += _dense(f"{ours}/output", (f"{theirs}.attention.output.dense",), depth)
        sites += _norm(f"{ours}/attention_norm", f"{theirs}.attention.output.LayerNorm", depth)
        sites += _dense(f"{ours}/inner", (f"{theirs}.intermediate.dense",), depth)
        sites += _dense(f"{ours}/outer", (f"{theirs}.output.dense",), depth)
        sites += _norm(f"{ours}/norm", f"{theirs}.output.LayerNorm", depth)
    return sites


def fuse(config: BertConfig, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Our weights, float32 and contiguous, from canonical tensors."""
    fused = {}
    for site in layout(config):
        value = np.concatenate([tensors[name] for name in site.tensors])
        fused[site.name] = np.ascontiguousarray(value.T if site.transposed else value, np.float32)
    return fused


def split(config: BertConfig, fused: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inverse of `fuse`."""
    tensors = {}
    for site in layout(config):
        value = fused[site.name]
        parts = np.split(value.T if site.transposed else value, len(site.tensors))
        for name, part in zip(site.tensors, parts, strict=True):
            tensors[name] = np.ascontiguousarray(part, np.float32)
    return tensors


def is_trained(site: Site, layers: int, config: FinetuneConfig) -> bool:
    """Whether the mode of `config` changes this weight of a BERT of so many layers."""
    if config.mode == "top":
        return site.depth > max(0, layers - config.top_layers)
    if config.mode == "bitfit":
        return site.kind in ("bias", "beta")
    return config.mode == "full"


def _dense(ours: str, theirs: tuple[str, ...], depth: int) -> Iterator[Site]:
    weights, biases = (tuple(f"{t}.{kind}" for t in theirs) for kind in ("weight", "bias"))
    yield Site(f"{ours}/kernel", weights, True, depth, "kernel")
    yield Site(f"{ours}/bias", biases, False, depth, "bias")


def _norm(ours: str, theirs: str, depth: int) -> Iterator[Site]:
    yield Site(f"{ours}/gamma", (f"{theirs}.weight",), False, depth, "gamma")
    yield Site(f"{ours}/beta", (f"{theirs}.bias",), False, depth, "beta")
