"""What a tuning will take, before it is begun: weights, operations, memory, time."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.bert_weights import expected_shapes
from dualtower_trainer.finetune.flops import training_flops
from dualtower_trainer.finetune.layout import is_trained, layout
from dualtower_trainer.finetune_config import FinetuneConfig

__all__ = ["Plan", "make_plan", "matmul_flops_per_s"]

_FLOAT_BYTES = 4
_WIDE = ("inner", "outer")
# of a layer's tape, per position: inputs of both norms and of all products, twice around GELU
_HIDDEN_KEPT, _INNER_KEPT = 11, 3
_SHARE_OF_PEAK = 0.5  # of the matrix rate that a step reached where it was measured


@dataclass(frozen=True)
class Plan:
    """What `--dry-run` prints.

    Attributes:
        parameters_total: weights of the encoder, low-rank updates too.
        parameters_trainable: those that a step changes.
        flops_per_step: of matrix products, with all accumulated batches.
        memory_bytes: weights, gradients, optimiser and the largest tape; an estimate.
        step_s: an estimate from this machine's matrix rate.
        total_s: of all steps.
    """

    parameters_total: int
    parameters_trainable: int
    flops_per_step: int
    memory_bytes: int
    step_s: float
    total_s: float


def make_plan(bert: BertConfig, config: FinetuneConfig, tokens: int, flops_per_s: float) -> Plan:
    """The plan for batches of `tokens` wide on a machine of `flops_per_s` (matrix products)."""
    total = sum(int(np.prod(shape)) for shape in expected_shapes(bert).values())
    trainable = _trainable(bert, config)
    if config.mode == "lora":
        total += trainable
    sides = 2 + config.hard_negatives
    rows = sides * config.batch_pairs
    flops = config.accumulate * training_flops(bert, config, rows, tokens)
    step_s = flops / (flops_per_s * _SHARE_OF_PEAK)
    at_once = sides * config.chunk_pairs or rows
    copies = 3 + bool(config.ema_decay)  # gradient, two moments, mean
    memory = _FLOAT_BYTES * (total + copies * trainable) + _tape_bytes(bert, at_once, tokens)
    return Plan(total, trainable, flops, memory, step_s, step_s * config.steps)


def matmul_flops_per_s(size: int = 1024, repeats: int = 8) -> float:
    """The best rate of a float32 matrix product here, by TensorFlow."""
    import tensorflow as tf

    a = tf.random.stateless_normal([size, size], [0, 1])
    best_ns = None
    for _ in range(repeats + 1):  # the first one warms up
        begin_ns = time.perf_counter_ns()
        tf.matmul(a, a).numpy()
        taken_ns = time.perf_counter_ns() - begin_ns
        best_ns = taken_ns if best_ns is None else min(best_ns, taken_ns)
    return 2 * size**3 / (best_ns * 1e-9)  # type: ignore[operator]


def _trainable(bert: BertConfig, config: FinetuneConfig) -> int:
    hidden, inner, layers = bert.hidden_size, bert.intermediate_size, bert.num_hidden_layers
    if config.mode == "lora":
        widths = (hidden + (inner if t in _WIDE else hidden) for t in config.lora_targets)
        return layers * config.lora_rank * sum(widths)
    shapes = expected_shapes(bert)
    return sum(
        int(np.prod(shapes[name]))
        for site in layout(bert)
        if is_trained(site, layers, config)
        for name in site.tensors
    )


def _tape_bytes(bert: BertConfig, rows: int, tokens: int) -> int:
    positions = rows * tokens
    floats = positions * (
        _HIDDEN_KEPT * bert.hidden_size
        + _INNER_KEPT * bert.intermediate_size
        + 3 * bert.num_attention_heads * tokens
    )
    return _FLOAT_BYTES * floats * bert.num_hidden_layers
