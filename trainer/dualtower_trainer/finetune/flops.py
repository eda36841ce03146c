"""Floating-point operations of BERT's matrix products; element-wise work is not counted.

A product [a, b] x [b, c] takes 2abc operations. A backward pass takes one product of that size for
the gradient of the input and one for that of the weight. No TensorFlow.
"""

from __future__ import annotations

from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.finetune.config import FinetuneConfig

__all__ = ["forward_flops", "training_flops"]


def forward_flops(config: BertConfig, rows: int, tokens: int) -> int:
    """Of one forward pass over [rows, tokens]."""
    return config.num_hidden_layers * _layer_flops(config, rows, tokens)


def training_flops(bert: BertConfig, config: FinetuneConfig, rows: int, tokens: int) -> int:
    """Of forward and backward over [rows, tokens] in the mode of `config`, GradCache's pass too."""
    layer, layers = _layer_flops(bert, rows, tokens), bert.num_hidden_layers
    forward = layers * layer * (2 if config.chunk_pairs else 1)
    attention = _attention_flops(bert, rows, tokens)
    tuned = min(config.top_layers, layers) if config.mode == "top" else layers
    if config.mode in ("full", "top"):
        return forward + 2 * tuned * layer
    # the gradient of attention is one product for each factor, whatever is frozen
    backward = tuned * (layer + attention)
    updates = _lora_flops(bert, config, rows * tokens) if config.mode == "lora" else 0
    return forward + backward + updates


def _layer_flops(config: BertConfig, rows: int, tokens: int) -> int:
    hidden, inner = config.hidden_size, config.intermediate_size
    dense = 2 * rows * tokens * (4 * hidden * hidden + 2 * hidden * inner)
    return dense + _attention_flops(config, rows, tokens)


def _attention_flops(config: BertConfig, rows: int, tokens: int) -> int:
    return 2 * 2 * rows * tokens * tokens * config.hidden_size


def _lora_flops(bert: BertConfig, config: FinetuneConfig, positions: int) -> int:
    """Forward and both backward products of the low-rank pairs."""
    sizes = {"inner", "outer"}
    widths = sum(
        bert.hidden_size + (bert.intermediate_size if target in sizes else bert.hidden_size)
        for target in config.lora_targets
    )
    return 3 * 2 * positions * config.lora_rank * widths * bert.num_hidden_layers
