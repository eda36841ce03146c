"""The search alone, on oracles: thresholds that are known, and verdicts that follow no rule."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtower_benchmarks.limit.search import (
    BROKE,
    CONFIRM,
    HELD,
    VOID,
    Ask,
    Found,
    Plan,
    search,
)

Log = list[tuple[Ask, str]]


def run(plan: Plan, oracle: Callable[[Ask], str]) -> tuple[Found, Log]:
    asking, log = search(plan), []
    try:
        ask = next(asking)
        while True:
            log.append((ask, oracle(ask)))
            ask = asking.send(log[-1][1])
    except StopIteration as end:
        return end.value, log


def below(threshold: float) -> Callable[[Ask], str]:
    return lambda ask: HELD if ask.rate_qps <= threshold else BROKE


@given(
    threshold=st.floats(1.5, 1e5),
    start=st.floats(1.5, 1e5),
    resolution=st.floats(0.01, 0.5),
    votes=st.sampled_from([1, 3, 5]),
)
def test_a_threshold_is_enclosed(
    threshold: float, start: float, resolution: float, votes: int
) -> None:
    plan = Plan(start, low_qps=1.0, resolution=resolution, votes=votes, most_probes=400)
    found, log = run(plan, below(threshold))
    assert found.held_qps is not None
    assert found.broke_qps is not None
    assert found.held_qps <= threshold < found.broke_qps
    assert found.broke_qps <= found.held_qps * (1 + resolution)
    assert found.complete
    assert found.confirmed
    assert not found.contradictions
    assert log[-1][0] == Ask(found.held_qps, CONFIRM)
    doublings = abs(math.log2(threshold / start)) + 2
    halvings = math.log2(1 / math.log2(1 + resolution)) + 2
    assert len(log) <= (votes // 2 + 1) * (doublings + halvings) + 1


@given(
    verdicts=st.lists(st.sampled_from([HELD, BROKE, VOID]), min_size=60, max_size=60),
    votes=st.sampled_from([1, 3]),
    most_probes=st.integers(4, 60),
    high=st.sampled_from([130.0, 500.0, math.inf]),
)
def test_whatever_is_said_the_limit_stays_on_the_safe_side(
    verdicts: list[str], votes: int, most_probes: int, high: float
) -> None:
    plan = Plan(100.0, low_qps=20.0, high_qps=high, votes=votes, most_probes=most_probes)
    told = iter(verdicts)
    found, log = run(plan, lambda ask: next(told))
    assert len(log) <= most_probes
    assert all(20.0 <= ask.rate_qps <= high for ask, _ in log)
    held: dict[float, int] = {}
    broke: dict[float, int] = {}
    for ask, verdict in log:
        weight = votes if ask.purpose == CONFIRM else 1
        counted = {HELD: held, BROKE: broke, VOID: {}}[verdict]
        counted[ask.rate_qps] = counted.get(ask.rate_qps, 0) + weight
    if found.held_qps is not None:
        majority = votes // 2 + 1
        assert held[found.held_qps] >= majority
        lower = [rate for rate, n in broke.items() if rate < found.held_qps and n >= majority]
        assert not lower, "a lower rate broke, and the limit is above it"
        assert (Ask(found.held_qps, CONFIRM), BROKE) not in log
    if found.confirmed:
        assert (Ask(found.held_qps, CONFIRM), HELD) in log
    told = iter(verdicts)
    assert run(plan, lambda ask: next(told)) == (found, log)  # a resumed search goes the same way


@given(threshold=st.floats(60.0, 1e4), reach=st.floats(50.0, 1e4))
def test_a_generator_that_reaches_only_so_far(threshold: float, reach: float) -> None:
    def oracle(ask: Ask) -> str:
        return VOID if ask.rate_qps > reach else below(threshold)(ask)

    found, _ = run(Plan(100.0, low_qps=10.0, most_probes=300), oracle)
    assert found.held_qps is not None
    assert found.held_qps <= min(threshold, reach)
    end = found.void_qps if found.generator_bound else found.broke_qps
    assert end is not None
    assert end <= found.held_qps * 1.05
    if reach < threshold:
        assert found.generator_bound
    if threshold * 2 < reach:  # a bracket never went so far
        assert not found.generator_bound


def test_a_majority_decides_and_single_votes_are_told() -> None:
    odd_ones = {(100.0, 0): BROKE, (200.0, 1): HELD}
    seen: dict[float, int] = {}

    def oracle(ask: Ask) -> str:
        turn = seen[ask.rate_qps] = seen.get(ask.rate_qps, -1) + 1
        return odd_ones.get((ask.rate_qps, turn), below(150.0)(ask))

    found, log = run(Plan(100.0, low_qps=1.0, most_probes=100), oracle)
    assert sum(ask.rate_qps == 100.0 for ask, _ in log) == 3
    assert found.held_qps is not None
    assert 142 < found.held_qps <= 150
    assert {held for _, held in found.contradictions} == {200.0}
    assert 100.0 in {broke for broke, _ in found.contradictions}


def test_a_limit_that_breaks_when_it_is_confirmed_is_given_up() -> None:
    def oracle(ask: Ask) -> str:
        if ask.purpose == CONFIRM and ask.rate_qps > 120.0:
            return BROKE
        return below(150.0)(ask)

    found, log = run(Plan(100.0, low_qps=1.0, most_probes=200), oracle)
    assert found.held_qps is not None
    assert found.held_qps <= 120.0
    assert found.confirmed
    assert any(ask.purpose == CONFIRM and verdict == BROKE for ask, verdict in log)


@pytest.mark.parametrize(("verdict", "held"), [(HELD, 300.0), (BROKE, None), (VOID, None)])
def test_the_ends_of_the_range(verdict: str, held: float | None) -> None:
    plan = Plan(100.0, low_qps=20.0, high_qps=300.0, most_probes=100)
    found, log = run(plan, lambda ask: verdict)
    assert found.held_qps == held
    assert found.complete
    assert log[-1][0].rate_qps == (300.0 if held else 20.0)


def test_a_range_must_be_one() -> None:
    with pytest.raises(ValueError, match="low_qps <= start_qps"):
        Plan(100.0, low_qps=200.0)
