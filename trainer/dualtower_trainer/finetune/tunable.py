"""A BERT some of whose weights are variables of a training, by mode; and the way back to a folder.

mode     trainable
top      the last `top_layers` layers
full     everything
bitfit   every bias, LayerNorm's too
lora     new pairs "down" [in, rank] and "up" [rank, out] beside chosen matrices
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.finetune.forward import Regular, bert_forward
from dualtower_trainer.finetune.layout import fuse, is_trained, layout, split
from dualtower_trainer.finetune_config import FinetuneConfig

__all__ = ["Parameter", "Tunable", "merge_updates"]

_QKV = ("query", "key", "value")
_NORM_EPSILON = 1e-12


@dataclass(frozen=True)
class Parameter:
    """One trainable weight: its variable, the layer it belongs to, and whether it decays.

    `rate` is a factor on the learning rate of its layer.
    """

    name: str
    variable: tf.Variable
    depth: int
    decayed: bool
    rate: float = 1.0


class Tunable:
    """The weights of one encoder as variables; create it in the scope of the strategy.

    Args:
        bert: the sizes.
        tensors: canonical Hugging Face tensors.
        config: the mode, low-rank updates, dropout and precision.
    """

    def __init__(
        self, bert: BertConfig, tensors: Mapping[str, np.ndarray], config: FinetuneConfig
    ) -> None:
        self.bert = bert
        self._scale = config.lora_alpha / config.lora_rank
        self._regular = Regular(config.dropout, config.lora_dropout, self._scale, config.precision)
        self._start = fuse(bert, tensors)
        self.parameters: list[Parameter] = []
        self._weights: dict[str, tf.Variable] = {}
        for site in layout(bert):
            trained = is_trained(site, bert.num_hidden_layers, config)
            self._add(site.name, self._start[site.name], site.depth, site.kind, trained)
        if config.mode == "lora":
            for name, value in _new_updates(bert, config).items():
                self._add(name, value, 1 + int(name.split("/")[0].removeprefix("layer_")), "kernel")

    def _add(
        self, name: str, value: np.ndarray, depth: int, kind: str, trained: bool = True
    ) -> None:
        variable = tf.Variable(value, trainable=trained, name=name.replace("/", "_"))
        self._weights[name] = variable
        if trained:
            self.parameters.append(Parameter(name, variable, depth, kind in ("kernel", "table")))

    def encode(self, ids: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Unit vectors float32 [rows, hidden] in training: with dropout, drawn from `seed`."""
        return self._encode(ids, mask, seed, self._regular)

    def encode_plainly(self, ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Unit vectors float32 [rows, hidden] without dropout, in float32."""
        plain = Regular(lora_scale=self._scale)
        return self._encode(ids, mask, tf.zeros([2], tf.int32), plain)

    def tensors(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Plain Hugging Face tensors, low-rank updates merged in.

        Args:
            values: of the trainable weights by name; the others are as they were.
        """
        merged = merge_updates({**self._start, **values}, self._scale)
        return split(self.bert, merged)

    def _encode(
        self, ids: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, regular: Regular
    ) -> tf.Tensor:
        pooled = bert_forward(self.bert, self._weights, ids, mask, seed=seed, regular=regular)
        return tf.math.l2_normalize(pooled, axis=1, epsilon=_NORM_EPSILON)


def merge_updates(weights: Mapping[str, np.ndarray], scale: float) -> dict[str, np.ndarray]:
    """W + scale · down · up for every low-rank pair, which leaves the mapping."""
    merged = {n: v for n, v in weights.items() if not n.endswith(("/down", "/up"))}
    for name in weights:
        if not name.endswith("/down"):
            continue
        layer, target, _ = name.split("/")
        change = scale * (
            weights[name].astype(np.float64) @ weights[f"{layer}/{target}/up"].astype(np.float64)
        )
        kernel = f"{layer}/{'qkv' if target in _QKV else target}/kernel"
        value = merged[kernel].astype(np.float64)
        width = change.shape[1]
        begin = _QKV.index(target) * width if target in _QKV else 0
        value[:, begin : begin + width] += change
        merged[kernel] = value.astype(np.float32)
    return merged


def _new_updates(bert: BertConfig, config: FinetuneConfig) -> dict[str, np.ndarray]:
    """Low-rank pairs whose product is zero: down is normal, up is zeros, as in the paper."""
    generator = np.random.default_rng(config.seed)
    hidden, inner, rank = bert.hidden_size, bert.intermediate_size, config.lora_rank
    sizes = {"inner": (hidden, inner), "outer": (inner, hidden)}
    pairs = {}
    for index in range(bert.num_hidden_layers):
        for target in config.lora_targets:
            into, out = sizes.get(target, (hidden, hidden))
            down = generator.normal(0.0, into**-0.5, (into, rank))
            pairs[f"layer_{index}/{target}/down"] = down.astype(np.float32)
            pairs[f"layer_{index}/{target}/up"] = np.zeros((rank, out), np.float32)
    return pairs
