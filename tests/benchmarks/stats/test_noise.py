"""How far repeats lie apart, by hand and by draws whose spread is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from dualtower_benchmarks.stats.noise import MEASURES, noise_of


def row(key: str, repeat: int, p50: float | None, **more: Any) -> dict[str, Any]:
    empty = dict.fromkeys(MEASURES)
    p50_ms = {"value": p50, "low": 0.0, "high": 0.0} if p50 else None
    return {**empty, "key": key, "repeat": repeat, "p50_ms": p50_ms, "rows_per_s": 100.0,
            "loop": "closed", "void": None, **more}  # fmt: skip


def test_three_repeats_by_hand() -> None:
    noise = noise_of([row("k", 0, 10.0), row("k", 1, 11.0), row("k", 2, 12.0)])
    assert noise is not None
    found = noise["by_key"]["k"]["p50_ms"]
    assert found["max_over_min"] == pytest.approx(1.2)
    assert found["n"] == 3
    # the middle one of the distances 11/10, 12/11, 12/10
    assert found["typical"] == pytest.approx(math.exp(1.0483 * math.log(1.1)))
    assert noise["by_key"]["k"]["p99_ms"] is None
    assert noise["pooled"]["p50_ms"]["pairs"] == 3
    assert noise["pooled"]["rows_per_s"]["max_over_min"] == 1.0


def test_the_spread_of_drawn_repeats_is_found() -> None:
    generator = np.random.default_rng(1)
    deviation = 0.03
    rows = [
        row(str(key), repeat, value)
        for key in range(400)
        for repeat, value in enumerate(
            generator.uniform(1, 100) * np.exp(deviation * generator.normal(size=3))
        )
    ]
    # one outlier in a hundred changes nothing
    for wild in rows[::100]:
        wild["p50_ms"]["value"] *= 50
    noise = noise_of(rows)
    assert noise is not None
    pooled = noise["pooled"]["p50_ms"]
    assert math.log(pooled["typical"]) == pytest.approx(deviation, rel=0.1)
    assert math.log(pooled["two_runs"]) == pytest.approx(1.96 * math.sqrt(2) * deviation, rel=0.1)
    assert pooled["max_over_min"] > 40
    assert (pooled["pairs"], pooled["keys"]) == (1200, 400)


def test_one_repeat_has_no_noise() -> None:
    assert noise_of([row("a", 0, 1.0), row("b", 0, 2.0)]) is None
    assert noise_of([]) is None


def test_void_attempts_are_left_out_and_the_last_attempt_counts() -> None:
    void = row("k", 0, 99.0, void="the generator lagged")
    noise = noise_of([void, row("k", 0, 10.0), row("k", 1, 10.0)])
    assert noise is not None
    assert noise["by_key"]["k"]["p50_ms"]["max_over_min"] == 1.0
    assert noise_of([void, row("k", 1, 10.0)]) is None


def test_the_rate_of_an_open_loop_is_its_schedule() -> None:
    noise = noise_of([row("k", repeat, 1.0, loop="open") for repeat in range(3)])
    assert noise is not None
    assert noise["by_key"]["k"]["rows_per_s"] is None
    assert noise["pooled"]["rows_per_s"] is None
