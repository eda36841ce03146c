"""Planted machines among people: who is removed, who is not, and what the report says."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable

import numpy as np
import pytest

from dualtower.config import load_section
from dualtower_trainer.data import (
    Dataset,
    FilterConfig,
    Interactions,
    SplitConfig,
    check_leakage,
    filter_users,
    split,
)

T0_S = 1_480_550_400
PEOPLE = 200


def _people(seed: int = 0) -> list[tuple[str, int]]:
    """(user, time) of people: a few sessions of baskets whose items share a second or a minute."""
    random = np.random.default_rng(seed)
    rows = []
    for person in range(PEOPLE):
        for _ in range(random.integers(1, 30)):
            session_s = T0_S + int(random.integers(0, 300 * 86_400))
            rows += [
                (f"person-{person:03}", session_s + int(random.integers(0, 3)) * 20)
                for _ in range(random.integers(1, 5))
            ]
    return rows


MACHINES = {
    "clock": [("m-clock", T0_S + n * 3600 + n % 2) for n in range(60)],
    "burst": [("m-burst", T0_S + n * 86_400 * 40 + k) for n in range(3) for k in range(0, 50, 2)],
    "flood": [("m-flood", T0_S + (n * n * 7919) % (300 * 86_400)) for n in range(20_000)],
}


def _log(rows: list[tuple[str, int]]) -> Interactions:
    user_ids = np.array(sorted({user for user, _ in rows}), object)
    place = {user: code for code, user in enumerate(user_ids)}
    return Interactions(
        np.array([place[user] for user, _ in rows], np.int32),
        np.arange(len(rows), dtype=np.int32) % 50,
        np.array([time_s for _, time_s in rows], np.int64),
        np.ones(len(rows), np.float32),
        user_ids,
    )


def _removed(rows: list[tuple[str, int]], config: FilterConfig) -> set[str]:
    kept, _ = filter_users(_log(rows), config)
    left = {kept.user_ids[user] for user in kept.users}
    return {user for user, _ in rows} - left


ALL = FilterConfig(z_threshold=4, clock_variation=0.1, burst_per_minute=15)


def test_machines_go_and_people_stay() -> None:
    rows = _people() + [row for part in MACHINES.values() for row in part]
    log = _log(rows)
    kept, report = filter_users(log, ALL)
    assert _removed(rows, ALL) == {"m-clock", "m-burst", "m-flood"}
    assert report.users == len(log.user_ids)
    assert report.removed["z-score"].examples == ("m-flood",)
    assert report.removed["clock"].examples == ("m-clock",)
    assert report.removed["burst"].examples == ("m-burst",)
    assert report.removed["burst"].interactions == len(MACHINES["burst"])
    gone = sum(part.interactions for part in report.removed.values())
    assert len(kept) == len(rows) - gone
    np.testing.assert_array_equal(kept.timestamps, [t for u, t in rows if u.startswith("person")])
    assert report.to_json()["removed"]["clock"] == {
        "users": 1,
        "interactions": 60,
        "examples": ["m-clock"],
    }


def test_each_filter_finds_its_own() -> None:
    rows = _people() + [row for part in MACHINES.values() for row in part]
    assert _removed(rows, FilterConfig(clock_variation=0.1)) == {"m-clock"}
    assert _removed(rows, FilterConfig(burst_per_minute=15)) == {"m-burst"}
    assert _removed(rows, FilterConfig(z_threshold=4)) == {"m-flood"}
    assert _removed(rows, FilterConfig(clock_variation=0.1, clock_events=61)) == set()
    assert _removed(rows, FilterConfig()) == set()
    assert not FilterConfig().is_on


def test_equals_a_slow_oracle() -> None:
    """Every user alone, in plain Python, at thresholds that cut through the people."""
    rows = _people(3) + MACHINES["clock"]
    config = FilterConfig(z_threshold=1.0, clock_variation=0.8, clock_events=10, burst_per_minute=4)
    times: dict[str, list[int]] = {}
    for user, time_s in rows:
        times.setdefault(user, []).append(time_s)
    logs = {user: np.log(len(own)) for user, own in times.items()}
    mean, deviation = statistics.fmean(logs.values()), statistics.pstdev(logs.values())
    expected = set()
    for user, own in times.items():
        moments = sorted(set(own))
        pauses = [b - a for a, b in itertools.pairwise(moments)]
        burst = max(sum(t <= other < t + 60 for other in own) for t in own)
        clock = len(moments) >= 10 and statistics.pstdev(pauses) / statistics.fmean(pauses) < 0.8
        if (logs[user] - mean) / deviation > 1 or clock or burst > 4:
            expected.add(user)
    assert 10 < len(expected) < PEOPLE - 10
    assert _removed(rows, config) == expected


def test_a_user_counts_once() -> None:
    rows = _people() + [("m-both", T0_S + n) for n in range(5000)]
    _, report = filter_users(_log(rows), ALL)
    assert {reason: part.users for reason, part in report.removed.items()} == {
        "z-score": 1,
        "clock": 0,
        "burst": 0,
    }


def test_without_times_it_says_so() -> None:
    rows = [(user, 0) for user, _ in _people()]
    kept, report = filter_users(_log(rows), FilterConfig(clock_variation=0.1))
    assert len(kept) == len(rows)
    assert "no times" in report.notes[0]


def test_all_alike_and_nobody() -> None:
    rows = [(f"u{n % 10}", T0_S + n) for n in range(100)]
    assert _removed(rows, FilterConfig(z_threshold=0.5)) == set()
    kept, report = filter_users(_log(rows).where(np.zeros(100, bool)), ALL)
    assert len(kept) == report.users == 0


def test_the_split_filters_what_is_trained_on_only(make_dataset: Callable[..., Dataset]) -> None:
    """A machine in the training period; a person who becomes one in the validation period."""
    items = [f"i{n}" for n in range(30)]
    rows = [
        (f"person-{p}", f"i{(p * k + k) % 30}", T0_S + (k * k * 977 + p * 31) % 200 * 86_400 // 2)
        for p in range(20)
        for k in range(1, 9)
    ]
    rows += [("m-clock", f"i{n % 30}", T0_S + n * 3600) for n in range(200)]
    rows += [("m-late", f"i{n}", T0_S + n * 777 * (n + 1)) for n in range(4)]
    rows += [("m-late", f"i{n % 25 + 4}", T0_S + 80 * 86_400 + n * 3600) for n in range(100)]
    config = SplitConfig(validation_days=25)
    dataset = make_dataset(rows, items)
    plain = split(dataset, config)
    parts = split(dataset, config, activity=FilterConfig(clock_variation=0.1))

    def users(log: Interactions) -> set[str]:
        return {log.user_ids[user] for user in log.users}

    assert users(plain.train) - users(parts.train) == {"m-clock"}
    assert users(plain.full) - users(parts.full) == {"m-clock"}
    assert "m-late" in parts.validation.user_ids
    assert set(parts.validation.user_ids) <= set(plain.validation.user_ids)
    assert parts.report["filter"]["train"]["removed"]["clock"]["examples"] == ["m-clock"]
    assert parts.report["train"]["dropped_suspicious_rows"] == 200
    assert plain.report["filter"] == {}
    assert [check.promise for check in check_leakage(dataset, parts) if not check.passed] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"z_threshold": -1.0}, "z_threshold must be 0"),
        ({"clock_variation": float("nan")}, "clock_variation must be 0"),
        ({"burst_per_minute": -2}, "burst_per_minute must be 0"),
        ({"clock_events": 2}, "clock_events must be at least 3, got 2"),
    ],
)
def test_the_configuration_is_checked(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FilterConfig(**changes)  # type: ignore[arg-type]


def test_it_is_a_section() -> None:
    assert load_section("filter", FilterConfig, overrides=("filter.z_threshold=4",)) == (
        FilterConfig(z_threshold=4.0)
    )
