"""The learning rate, and the losses at which tuning stops with an error."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dualtower.errors import DataError
from dualtower_trainer.finetune.schedule import check_losses, learning_rate


def test_it_warms_up_and_cools_down() -> None:
    rates = [learning_rate(step, steps=100, peak=2.0, warmup_share=0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == rates[10] == max(rates) == 2.0
    assert rates[55] == pytest.approx(1.0)  # the middle of the cosine
    assert 0 < rates[99] < 0.01
    assert learning_rate(0, steps=1, peak=2.0, warmup_share=0.0) == 2.0


def test_a_loss_that_is_not_finite_is_an_error_at_once() -> None:
    with pytest.raises(DataError, match=r"diverged at step 3: the loss is nan .*learning_rate"):
        check_losses([1.0, 1.0, math.nan], 1, scaled=False)


def test_a_loss_scale_may_overflow_for_a_while() -> None:
    check_losses([1.0, math.inf], 5, scaled=True)
    with pytest.raises(DataError, match="31 steps in a row"):
        check_losses([1.0, math.inf], 31, scaled=True)


def test_a_rising_mean_is_divergence_and_noise_is_not() -> None:
    noise = np.random.default_rng(0).normal(3.0, 0.5, 400)
    check_losses(list(noise), 0, scaled=False)
    check_losses([1.0] * 60 + [9.0] * 30, 0, scaled=False)  # too early to tell
    with pytest.raises(DataError, match=r"mean loss of steps 51 to 100 is 9\.000"):
        check_losses([1.0] * 50 + [9.0] * 50, 0, scaled=False)
