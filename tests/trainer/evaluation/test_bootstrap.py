"""The paired bootstrap: its coverage, its false alarms, and its edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dualtower_trainer.bootstrap import paired_bootstrap


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """300 experiments on skewed values of 200 users: 95 % within three binomial deviations."""
    random = np.random.default_rng(5)
    truth, covered, alarms = 0.02, 0, 0
    for experiment in range(300):
        base = random.exponential(0.2, 200)
        noise = random.exponential(0.1, 200) - 0.1
        covered_by = paired_bootstrap(base + noise + truth, base, draws=400, seed=experiment)
        covered += covered_by.low <= truth <= covered_by.high
        alarms += paired_bootstrap(base + noise, base, draws=400, seed=experiment).p < 0.05
    slack = 3 * math.sqrt(0.05 * 0.95 / 300)
    assert 0.95 - slack - 0.01 < covered / 300 <= 1
    assert alarms / 300 < 0.05 + slack + 0.01


def test_a_clear_difference_is_clear_and_signs_are_kept() -> None:
    random = np.random.default_rng(0)
    base = random.random(500)
    better = paired_bootstrap(base + random.normal(0.1, 0.1, 500), base)
    assert better.p < 0.01
    assert 0 < better.low < better.value < better.high
    assert better.se == pytest.approx(0.1 / math.sqrt(500), rel=0.15)
    worse = paired_bootstrap(base, base + 0.1)
    assert worse.value == pytest.approx(-0.1)
    assert worse.high < 0


def test_the_normal_interval_is_near_where_there_are_many_users() -> None:
    random = np.random.default_rng(1)
    a, b = random.random(4000), random.random(4000)
    found = paired_bootstrap(a, b, draws=4000)
    assert found.low == pytest.approx(found.value - 1.96 * found.se, abs=0.15 * found.se)
    assert found.high == pytest.approx(found.value + 1.96 * found.se, abs=0.15 * found.se)


def test_edges() -> None:
    same = np.array([0.0, 1.0, 0.5])
    assert paired_bootstrap(same, same).p == 1.0
    missing = paired_bootstrap(np.array([1.0, np.nan, 0.5]), np.array([0.5, 0.5, 0.0]))
    assert (missing.users, missing.value) == (2, 0.5)
    alone = paired_bootstrap(np.array([1.0]), np.array([0.0]))
    assert (alone.value, alone.p) == (1.0, 1.0)
    assert math.isnan(alone.low)
    nobody = paired_bootstrap(np.array([np.nan]), np.array([0.0]))
    assert nobody.users == 0
    assert math.isnan(nobody.value)
    one = paired_bootstrap(same, same[::-1].copy(), draws=1)
    assert 0 < one.p <= 1


def test_wrong_use_is_named() -> None:
    with pytest.raises(ValueError, match="the same users"):
        paired_bootstrap(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="draws"):
        paired_bootstrap(np.zeros(3), np.zeros(3), draws=0)


def test_a_seed_gives_one_answer() -> None:
    a, b = np.random.default_rng(2).random((2, 100))
    assert paired_bootstrap(a, b, seed=3) == paired_bootstrap(a, b, seed=3)
    assert paired_bootstrap(a, b, seed=3).low != paired_bootstrap(a, b, seed=4).low
