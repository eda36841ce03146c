"""Swaps and a lost replica whose truth is known: who answered when, and what was lost."""

from __future__ import annotations

import numpy as np
import pytest
from doctored import JUDGED, S, replica_load, samples, swap_load

from dualtower_benchmarks.events.bands import bands_of
from dualtower_benchmarks.events.replica_lost import replica_result
from dualtower_benchmarks.events.swap import swap_result
from dualtower_benchmarks.events.table import failures_words
from dualtower_benchmarks.events.who import answers_by, plain, who_answered
from dualtower_benchmarks.events.windows import part_of
from dualtower_benchmarks.load.samples import Samples


def test_a_swap_in_its_parts() -> None:
    seen, changes = swap_load()
    found = swap_result(seen, changes, warmup_s=2.0, **JUDGED)
    assert [found[part]["n"] for part in ("before", "during", "after")] == [800, 400, 1600]
    assert found["whole"]["n"] == 2800
    assert found["before"]["p99_ms"]["value"] == found["after"]["p99_ms"]["value"] == 5.0
    assert found["during"]["p50_ms"]["value"] == found["during"]["slowest_ms"] == 20.0
    assert found["during"]["seconds"] == 4.0
    assert found["answers"] == {"1": 1300, "2": 1700}
    (change,) = found["changes"]
    assert change["until_first_new_s"] == pytest.approx(4.02)  # due at 13 s, 20 ms, since 9 s
    assert change["until_last_old_s"] == pytest.approx(4.01)
    assert (change["until_noticed_s"], change["until_ended_s"]) == (1.0, 5.0)
    assert failures_words(found["whole"]) == "none"


def test_a_lost_request_shows() -> None:
    seen, changes = swap_load(lost=True)
    found = swap_result(seen, changes, warmup_s=2.0, **JUDGED)
    assert found["during"]["failed"] == found["whole"]["failed"] == {"UNAVAILABLE": 1}
    assert found["before"]["failed"] == {}
    assert failures_words(found["during"]) == "UNAVAILABLE 1"
    assert sum(found["bands"]["failed"]) == 1
    assert found["bands"]["failed"][13] == 1


def test_a_generator_that_lags_makes_its_part_void() -> None:
    seen, changes = swap_load()
    during = (seen.due_ns >= 10 * S) & (seen.due_ns < 14 * S)
    sent_ns = seen.due_ns + np.where(during, 3_000_000, 0)  # 2.5 ms is 5 % of the SLO
    lagged = Samples(seen.due_ns, sent_ns, seen.done_ns, seen.status)
    found = swap_result(lagged, changes, warmup_s=2.0, **JUDGED)
    assert "the generator's p99 lag was 3.00 ms" in found["during"]["void"]
    assert found["during"]["p50_ms"] is None
    assert found["during"]["n"] == 400
    assert found["before"]["void"] is None


def test_percentiles_of_two_windows_are_those_of_their_requests() -> None:
    generator = np.random.default_rng(4)
    due_s = np.arange(0, 60, 0.01)
    latency_ms = generator.lognormal(1.5, 0.5, len(due_s))
    seen = samples(due_s, latency_ms)
    windows = [(5 * S, 15 * S), (40 * S, 52 * S)]
    found = part_of(seen, windows, **JUDGED)
    inside = ((due_s >= 5) & (due_s < 15)) | ((due_s >= 40) & (due_s < 52))
    wanted = np.sort(seen.latency_ns[inside]) / 1e6
    assert found["n"] == len(wanted) == 2200
    for name, q in (("p50_ms", 0.5), ("p90_ms", 0.9), ("p99_ms", 0.99)):
        assert found[name]["value"] == np.quantile(wanted, q, method="inverted_cdf")
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]
    assert found["seconds"] == 22.0
    few = part_of(seen, [(0, S)], **JUDGED)
    assert few["p90_ms"] is not None
    assert few["p99_ms"] is None  # of 100 requests


def test_who_answered_is_read_and_taken_away() -> None:
    seen = samples([0, 1, 2, 3, 4], 1.0, ["OK 2", "UNAVAILABLE", "OK 1", "OK", "OK 2"])
    assert who_answered(seen).tolist() == ["2", "", "1", "", "2"]
    assert answers_by(seen) == {"1": 1, "2": 2}
    assert plain(seen).errors == {"UNAVAILABLE": 1}
    assert len(plain(seen).latency_ns) == 4


def test_a_lost_replica() -> None:
    found = replica_result(
        replica_load(), "b:1", killed_ns=10 * S, restarted_ns=13 * S, ready_ns=19 * S,
        warmup_s=1.0, **JUDGED,
    )  # fmt: skip
    assert found["during"]["failed"] == {"ServerUnreachable": 3}
    assert found["before"]["failed"] == found["after"]["failed"] == {}
    assert found["until_takes_load_s"] == pytest.approx(10.015)
    assert found["until_last_failed_s"] == pytest.approx(0.13)
    assert found["until_good_s"] == pytest.approx(2.0)
    assert found["until_ready_s"] == 9.0
    assert set(found["answers"]) == {"a:1", "b:1"}


def test_a_replica_that_never_comes_back() -> None:
    seen = replica_load()
    kept = seen.due_ns < 20 * S
    gone = Samples(seen.due_ns[kept], seen.sent_ns[kept], seen.done_ns[kept], seen.status[kept])
    found = replica_result(
        gone, "b:1", killed_ns=10 * S, restarted_ns=13 * S, ready_ns=19 * S, warmup_s=1.0, **JUDGED
    )
    assert found["until_takes_load_s"] is None
    assert found["after"]["n"] == 0
    assert found["during"]["n"] > 900


def test_bands_by_second() -> None:
    due_s = np.arange(0, 3, 0.01)
    found = bands_of(samples(due_s, np.where(due_s < 1, 5.0, 9.0)))
    assert found["t_s"] == [0.0, 1.0, 2.0]
    assert found["n"] == [100, 100, 100]
    assert found["p50_ms"] == [5.0, 9.0, 9.0]
    assert found["p99_ms"] == [None, None, None]
    assert bands_of(samples([], []))["t_s"] == []
