"""A load slot by slot: nothing is lost, and no percentile comes from too few."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtower_benchmarks.load.samples import OK, SKIPPED, Samples
from dualtower_benchmarks.stats.timeline import timeline

rows = st.lists(
    st.tuples(
        st.integers(0, 10**10), st.integers(1, 10**9), st.sampled_from([OK, "ABORTED", SKIPPED])
    ),
    min_size=1,
    max_size=300,
)


@settings(deadline=None)
@given(rows)
def test_every_request_is_in_one_slot(pairs) -> None:
    due, latency = (np.array([row[i] for row in pairs], dtype=np.int64) for i in range(2))
    status = np.array([row[2] for row in pairs])
    slots = timeline(Samples(due, due, due + latency, status))
    for name, count in (
        ("n", (status == OK).sum()),
        ("skipped", (status == SKIPPED).sum()),
        ("errors", (status == "ABORTED").sum()),
    ):
        assert sum(slot[name] for slot in slots) == count
    assert len(slots) <= 52
    assert all(slot["p99_ms"] is None for slot in slots)


@pytest.mark.parametrize("seconds", [0.5, 3.0, 10.0, 61.0, 1800.0])
def test_there_are_about_fifty_slots_of_round_width(seconds: float) -> None:
    due = np.linspace(0, seconds * 1e9, 5000).astype(np.int64)
    slots = timeline(Samples(due, due, due + 1000, np.full(5000, OK)))
    assert 30 <= len(slots) <= 60
    assert slots[0]["t_s"] == 0
    assert slots[1]["t_s"] == pytest.approx(float(f"{slots[1]['t_s']:.3g}"))


def test_percentiles_are_numpys_where_there_are_enough() -> None:
    generator = np.random.default_rng(1)
    due = np.sort(generator.integers(0, 10**10, 40_000))
    latency = (generator.lognormal(1.0, 0.5, 40_000) * 1e6).astype(np.int64)
    slots = timeline(Samples(due, due, due + latency, np.full(40_000, OK)))
    width_ns = round(slots[1]["t_s"] * 1e9)
    for number, slot in enumerate(slots[:-1]):
        inside = latency[(due - due[0]) // width_ns == number]
        assert slot["n"] == len(inside)
        assert slot["p50_ms"] == np.percentile(inside, 50, method="inverted_cdf") / 1e6
        assert slot["p99_ms"] == np.percentile(inside, 99, method="inverted_cdf") / 1e6


def test_no_request_and_a_single_one() -> None:
    assert timeline(Samples.none()) == []
    instant = np.array([5], dtype=np.int64)
    (slot,) = timeline(Samples(instant, instant, instant + 9, np.array([OK])))
    assert slot == {"t_s": 0.0, "n": 1, "p50_ms": None, "p99_ms": None, "errors": 0, "skipped": 0}
