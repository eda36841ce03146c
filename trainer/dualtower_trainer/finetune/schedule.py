"""The learning rate of a step, and whether the losses so far still look like training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dualtower.errors import DataError

__all__ = ["check_losses", "learning_rate"]

_WINDOW = 50
_RISE = 1.0  # nats above the first window's mean
_SKIPPED = 30  # halvings of a float16 loss scale, which starts at 2^15


def learning_rate(step: int, *, steps: int, peak: float, warmup_share: float) -> float:
    """Linear from peak / warmup up to `peak`, then half a cosine towards 0; `step` from 0."""
    warmup = max(1, round(steps * warmup_share))
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def check_losses(losses: Sequence[float], skipped_in_a_row: int, *, scaled: bool) -> None:
    """Refuses to go on when training has come apart.

    Args:
        losses: of every step so far.
        skipped_in_a_row: steps that ended in an overflow and changed nothing, up to now.
        scaled: whether the loss is scaled, so that single overflows are expected.

    Raises:
        DataError: the last loss or gradient is not finite (beyond what a loss scale recovers from),
            or the last 50 losses lie far above the first 50.
    """
    step = len(losses)
    if skipped_in_a_row > (_SKIPPED if scaled else 0):
        raise DataError(
            f"tuning diverged at step {step}: the loss is {losses[-1]:.4g} and its gradient is not "
            f"finite ({skipped_in_a_row} steps in a row). The weights of the step before are kept "
            "in the last checkpoint. Lower finetune.learning_rate, set finetune.clip_norm=1, or "
            "use finetune.precision=float32"
        )
    if step < 2 * _WINDOW:
        return
    first, last = np.mean(losses[:_WINDOW]), np.mean(losses[-_WINDOW:])
    if last > first + _RISE:
        raise DataError(
            f"tuning diverged: the mean loss of steps {step - _WINDOW + 1} to {step} is "
            f"{last:.3f}, that of the first {_WINDOW} was {first:.3f}. Lower "
            "finetune.learning_rate, or raise finetune.warmup_share"
        )
