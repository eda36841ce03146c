"""What a tuning on given pairs will take, by a few steps that are taken and thrown away.

The rate of matrix products is measured in steps on batches of the most frequent widths; the other
widths are multiplied out of the formulas of `flops.py`. `plan.py` estimates without any step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.finetune.batches import PairBatches
from dualtower_trainer.finetune.flops import forward_flops, training_flops
from dualtower_trainer.finetune.objectives import contrastive
from dualtower_trainer.finetune.plan import make_plan
from dualtower_trainer.finetune.tuner import Tuner
from dualtower_trainer.finetune_config import FinetuneConfig
from dualtower_trainer.pairs import Pairs

__all__ = ["MeasuredPlan", "mean_step_flops", "measure_plan", "minings"]

_TIMED_STEPS = 3


@dataclass(frozen=True)
class MeasuredPlan:
    """What a tuning takes on one device of this machine.

    Attributes:
        pairs: of texts.
        parameters_total: weights of the encoder, low-rank updates too.
        parameters_trainable: those that a step changes.
        flops_per_step: of matrix products, with all accumulated batches; the mean over all steps.
        flops_per_s: of a step that was timed.
        step_s: of a mean step.
        memory_more_bytes: what the widest batches hold beyond those that were timed.
        total_s: of all steps, with tracing them for each width, and of mining.
    """

    pairs: int
    parameters_total: int
    parameters_trainable: int
    flops_per_step: int
    flops_per_s: float
    step_s: float
    memory_more_bytes: int
    total_s: float


def measure_plan(
    encoder: Encoder, texts: Sequence[str], pairs: Pairs, config: FinetuneConfig
) -> MeasuredPlan:
    """Takes a few steps on a copy of `encoder`.

    Args:
        encoder: where the tuning would start from; left as it is.
        texts: what the pairs name.
        pairs: what would be tuned on.
        config: section [finetune], of any mode but "frozen".

    Raises:
        DataError: fewer than two pairs.
    """
    batches = PairBatches(
        texts, pairs, encoder.tokenizer, batch_pairs=config.batch_pairs,
        multiple=config.bucket_tokens,
    )  # fmt: skip
    bert, place = encoder.config, int(np.argmax(batches.chances))
    timed = batches.of_bucket(place, seed=config.seed, count=config.accumulate)
    tuner = Tuner(encoder, config, contrastive(config.temperature), tf.distribute.get_strategy())
    first_s, again_s = _step_s(lambda step: tuner.step(timed, step))
    rate = _flops(bert, config, batches.widths[place]) / again_s
    mined = np.unique(np.r_[pairs.anchor, pairs.positive])
    hard_width = batches.longest(mined) if config.hard_negatives else 0
    flops = mean_step_flops(bert, config, batches, hard_width)
    mining = minings(config) * forward_flops(bert, 2 * len(mined), hard_width) / rate
    shapes = len(batches.widths) * (2 if config.more_negatives else 1)
    widest, usual = max(map(max, batches.widths)), max(batches.widths[place])
    plans = [make_plan(bert, config, width, rate) for width in (widest, usual)]
    return MeasuredPlan(
        pairs=len(pairs),
        parameters_total=plans[0].parameters_total,
        parameters_trainable=plans[0].parameters_trainable,
        flops_per_step=round(flops),
        flops_per_s=rate,
        step_s=flops / rate,
        memory_more_bytes=plans[0].memory_bytes - plans[1].memory_bytes,
        total_s=config.steps * flops / rate + shapes * max(first_s - again_s, 0.0) + mining,
    )


def mean_step_flops(
    bert: BertConfig, config: FinetuneConfig, batches: PairBatches, hard_width: int
) -> float:
    """Of a step, over the widths as often as they are drawn, with hard negatives once mined."""
    plain = sum(
        chance * _flops(bert, config, widths)
        for chance, widths in zip(batches.chances, batches.widths, strict=True)
    )
    if not config.hard_negatives:
        return float(plain)
    rows = config.batch_pairs * config.hard_negatives
    share = max(config.steps - config.hard_warmup, 0) / config.steps
    hard = config.accumulate * training_flops(bert, config, rows, hard_width)
    return float(plain + share * hard)


def minings(config: FinetuneConfig) -> int:
    """How often hard negatives are mined."""
    if not config.hard_negatives:
        return 0
    return len(range(config.hard_warmup, config.steps, config.hard_refresh_every))


def _flops(bert: BertConfig, config: FinetuneConfig, widths: Sequence[int]) -> int:
    """Of a step whose sides have these widths."""
    once = sum(training_flops(bert, config, config.batch_pairs, width) for width in widths)
    return config.accumulate * once


def _step_s(take: Callable[[int], object]) -> tuple[float, float]:
    """The first step, which is traced, and the median of those after it."""
    taken = []
    for step in range(1 + _TIMED_STEPS):
        begin_ns = time.perf_counter_ns()
        take(step)
        taken.append((time.perf_counter_ns() - begin_ns) / 1e9)
    return taken[0], float(np.median(taken[1:]))
