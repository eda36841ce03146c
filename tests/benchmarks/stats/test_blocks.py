"""Resampling by blocks, against copies of the requests and numpy's percentile of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dualtower_benchmarks.stats.blocks import MOST_SLOTS, Slotted

requests = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=120
)


def laid_out(pairs: list[tuple[int, int]], slots: int | None = None) -> Slotted:
    latency, due = np.array(pairs, dtype=np.int64).T
    return Slotted.of(latency, due, slots=slots)


@given(requests, st.integers(1, 30))
def test_each_request_lies_in_the_slot_of_its_due_instant(pairs, slots) -> None:
    slotted = laid_out(pairs, slots)
    due = np.array([due for _, due in pairs])
    edges = due.min() + np.arange(slots + 1) * (due.max() - due.min() + 1) / slots
    assert slotted.counts().tolist() == np.histogram(due, edges)[0].tolist()
    assert slotted.ordered.tolist() == sorted(latency for latency, _ in pairs)
    assert slotted.counts(1).sum() == 1


@settings(deadline=None)
@given(
    requests,
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from([0.05, 0.5, 0.9, 0.99]),
    st.integers(0, 10**6),
)
def test_a_resample_has_numpys_percentile_of_its_copies(pairs, slots, length, q, seed) -> None:
    slotted = laid_out(pairs, slots)
    weights = slotted.weights(min(length, slots), 20, np.random.default_rng(seed))
    ours = slotted.resampled(q, weights)
    for row, value in zip(weights.astype(int), ours, strict=True):
        copies = np.repeat(slotted.ordered, row[slotted.slot])
        if not len(copies):
            assert np.isnan(value)
        else:
            assert value == np.percentile(copies, 100 * q, method="inverted_cdf")


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 10**6))
def test_a_resample_is_circular_blocks_of_as_many_slots(slots, length, seed) -> None:
    length = min(length, slots)
    slotted = Slotted(np.zeros(0, np.int64), np.zeros(0, np.int64), slots, 1.0)
    weights = slotted.weights(length, 5, np.random.default_rng(seed))
    assert weights.sum(axis=1).tolist() == [slots] * 5
    assert weights.min() >= 0
    # a block begins and ends: no more edges than twice the blocks
    edges = np.abs(np.diff(np.concatenate([weights, weights[:, :1]], axis=1), axis=1)).sum(axis=1)
    assert edges.max() <= 2 * -(-slots // length)


def test_every_slot_is_drawn_as_often_as_another() -> None:
    slotted = Slotted(np.zeros(0, np.int64), np.zeros(0, np.int64), 40, 1.0)
    weights = slotted.weights(7, 20_000, np.random.default_rng(1))
    assert weights.mean(axis=0) == pytest.approx(np.ones(40), abs=0.05)


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
def test_blocks_of_one_are_scipys_bootstrap(q: float) -> None:
    samples = (np.random.default_rng(2).lognormal(1.0, 0.5, 600) * 1e6).astype(np.int64)
    slotted = Slotted.independent(samples)
    weights = slotted.weights(1, 4000, np.random.default_rng(3))
    ours = np.quantile(slotted.resampled(q, weights), [0.025, 0.975])
    plain = stats.bootstrap(
        (samples.astype(np.float64),),
        lambda x, axis: np.percentile(x, 100 * q, axis=axis, method="inverted_cdf"),
        n_resamples=4000,
        method="percentile",
        rng=np.random.default_rng(4),
    ).confidence_interval
    assert ours == pytest.approx([plain.low, plain.high], rel=0.01)


def test_many_requests_are_resampled_as_closely_as_few() -> None:
    """More ranks than candidates: the answer is off by less than a hundredth of the spread."""
    generator = np.random.default_rng(5)
    latency = (generator.lognormal(1.0, 0.5, 200_000) * 1e6).astype(np.int64)
    slotted = Slotted.of(latency, np.arange(200_000))
    assert slotted.slots == MOST_SLOTS
    weights = slotted.weights(40, 12, generator)
    ours = slotted.resampled(0.9, weights)
    exact = [
        np.percentile(np.repeat(slotted.ordered, row[slotted.slot]), 90, method="inverted_cdf")
        for row in weights.astype(int)
    ]
    assert np.abs(ours - exact).max() <= 0.01 * np.ptp(exact)


def test_no_request_and_one_instant() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert Slotted.of(nothing, nothing).slots == 1
    at_once = Slotted.of(np.arange(50), np.zeros(50, dtype=np.int64))
    assert at_once.counts().sum() == 50
