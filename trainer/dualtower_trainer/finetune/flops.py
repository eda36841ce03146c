"""Floating-point operations of BERT's matrix products; element-wise work is not counted.

A product [a, b] x [b, c] takes 2abc operations. A backward pass takes one product of that size for
the gradient of the input and one for that of the weight. No TensorFlow.
"""

from __future__ import annotations

from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.finetune_config import FinetuneConfig

__all__ = ["forward_flops", "training_flops"]


def forward_flops(config: BertConfig, rows: int, tokens: int) -> int:
    """Of one forward pass over [rows, tokens]."""
    return config.num_hidden_layers * _layer_flops(config, rows, tokens)


def training_flops(bert: BertConfig, config: FinetuneConfig, rows: int, tokens: int) -> int:
    """Of forward and backward over [rows, tokens] in the mode of `config`, GradCache's pass too."""
    layer, layers = _layer_flops(bert, rows, tokens), bert.num_hidden_layers
    attention, hidden = _attention_flops(bert, rows, tokens), bert.hidden_size
    forward = layers * layer * (2 if config.chunk_pairs else 1)
    # nothing below the lowest tuned layer is tuned, so its first product passes nothing down
    first = 2 * rows * tokens * 3 * hidden * hidden
    if config.mode == "full":
        return forward + 2 * layers * layer
    if config.mode == "top":
        return forward + 2 * min(config.top_layers, layers) * layer - first
    # the gradient of attention is one product for each factor, whatever is frozen
    backward = layers * (layer + attention)
    if config.mode == "bitfit":
        return forward + backward
    return forward + backward - first + _lora_flops(bert, config, rows * tokens)


def _layer_flops(config: BertConfig, rows: int, tokens: int) -> int:
    hidden, inner = config.hidden_size, config.intermediate_size
    dense = 2 * rows * tokens * (4 * hidden * hidden + 2 * hidden * inner)
    return dense + _attention_flops(config, rows, tokens)


def _attention_flops(config: BertConfig, rows: int, tokens: int) -> int:
    return 2 * 2 * rows * tokens * tokens * config.hidden_size


def _lora_flops(bert: BertConfig, config: FinetuneConfig, positions: int) -> int:
    """Of the low-rank pairs, forward (twice with GradCache) and both backward products."""
    hidden, inner = bert.hidden_size, bert.intermediate_size
    widths = sum(
        hidden + (inner if target in ("inner", "outer") else hidden)
        for target in config.lora_targets
    )
    passes = 4 if config.chunk_pairs else 3
    first = hidden * sum(target in ("query", "key", "value") for target in config.lora_targets)
    return 2 * positions * config.lora_rank * (passes * bert.num_hidden_layers * widths - first)
