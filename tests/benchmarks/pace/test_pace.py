"""The machine's own pace: taken around what is measured, kept with it, and said of runs."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dualtower_benchmarks.numerals import NBSP
from dualtower_benchmarks.pace.log import PaceLog
from dualtower_benchmarks.pace.summary import (
    change_of,
    pace_of,
    pace_of_cases,
    pace_words,
    slower,
    slower_words,
)
from dualtower_benchmarks.pace.work import KINDS, Take, take
from dualtower_benchmarks.scenario.store import PointStore
from dualtower_benchmarks.schema import results_schema


def row(key: str, at_s: float, compute_ms: float, copy_ms: float = 10.0, repeat: int = 0) -> Any:
    return {"key": key, "repeat": repeat, **dataclasses.asdict(Take(at_s, compute_ms, copy_ms))}


def test_a_take_is_of_now_and_of_real_work() -> None:
    before_s, begin_ns = time.time(), time.perf_counter_ns()
    found = take()
    wall_ms = (time.perf_counter_ns() - begin_ns) / 1e6
    assert before_s <= found.at_s <= time.time()
    # three rounds of each, one after the other: at least two of them last as long as the median
    assert 0 < 2 * (found.compute_ms + found.copy_ms) <= wall_ms


def test_takes_are_kept_around_a_case_and_between_its_loads(tmp_path: Path) -> None:
    log = PaceLog(PointStore(tmp_path / "r.json", {}), fresh_s=0.0)  # as if starts took their time
    with log.around(1, "a", "b") as again:
        again()
        inside_s = time.time()
    with log.around(0, "c"):
        pass
    found = PaceLog(PointStore(tmp_path / "r.json", {})).takes()  # as a run that goes on has them
    assert found == sorted(found, key=lambda one: one["at_s"])
    mine = {key: [one for one in found if one["key"] == key] for key in "abc"}
    assert [len(rows) for rows in mine.values()] == [3, 3, 2]
    assert [one["repeat"] for one in mine["a"]] == [1, 1, 1]
    assert [one["at_s"] for one in mine["a"]] == [one["at_s"] for one in mine["b"]]
    assert mine["a"][1]["at_s"] < inside_s <= mine["a"][2]["at_s"]
    pace = pace_of(found)
    assert pace is not None
    assert pace["n"] == 5, "what was measured together was timed once"
    schema = results_schema()
    alone = {"$defs": schema["$defs"], **schema["properties"]["pace"]}
    jsonschema.Draft202012Validator(alone).validate(pace)


def test_a_take_after_a_case_is_that_before_the_next_at_once(tmp_path: Path) -> None:
    log = PaceLog(PointStore(tmp_path / "r.json", {}), fresh_s=60.0)
    with log.around(0, "a"):
        pass
    with log.around(0, "b"):
        pass
    found = {key: [one["at_s"] for one in log.takes() if one["key"] == key] for key in "ab"}
    assert found["b"][0] == found["a"][1]
    assert found["b"][1] > found["b"][0] > found["a"][0]


def test_nothing_is_kept_of_a_case_that_was_not_measured(tmp_path: Path) -> None:
    log = PaceLog(PointStore(tmp_path / "r.json", {}))
    with pytest.raises(RuntimeError, match="no server"), log.around(0, "a"):
        raise RuntimeError("no server")
    assert log.takes() == []
    assert pace_of([]) is None
    assert pace_words(None) == ""


def test_a_run_says_how_much_its_machine_changed() -> None:
    pace = pace_of([row("a", 1, 43), row("a", 2, 50), row("b", 3, 83), row("b", 4, 50, 11.0)])
    assert pace is not None
    assert pace["compute_ms"] == {"median": 50, "low": 43, "high": 83}
    assert pace["copy_ms"] == {"median": 10, "low": 10, "high": 11}
    assert change_of(pace) == pytest.approx(83 / 43)
    assert pace_words(pace).replace(NBSP, " ") == (
        "the machine's own pace changed by up to ×1.93: around the cases the same work took "
        "computing 43.0 to 83.0 ms (median 50.0), copying 10.0 to 11.0 ms (median 10.0), n = 4; a "
        "change is one of medians of five in a row"
    )


def test_one_slow_take_is_no_change_of_pace() -> None:
    def pace(*times_ms: float) -> Any:
        return pace_of([row("a", at_s, ms) for at_s, ms in enumerate(times_ms)])

    assert change_of(pace(40, 40, 90, 40, 41, 40, 40, 20, 40)) == 1.0
    assert change_of(pace(40, 40, 40, 40, 40, 60, 60, 60, 60, 60)) == pytest.approx(1.5)
    assert change_of(pace(60, 60, 60, 40, 40)) == 1.0, "five have one level"
    assert change_of(pace(60, 60, 40, 40)) == pytest.approx(1.5)
    assert change_of(pace(40)) == 1.0
    several = [row(key, at_s, ms) for at_s, ms in enumerate((40, 90, 40)) for key in "abcdef"]
    several += [row("z", 10 + at_s, 40) for at_s in range(3)]
    assert change_of(pace_of(several)) == 1.0, "a take of several cases counts once"


def test_each_case_has_its_own_pace() -> None:
    takes = [row("a", 1, 40), row("a", 2, 40), row("a", 3, 40, repeat=1), row("b", 4, 60, 20)]
    found = pace_of_cases({"pace": pace_of(takes)})
    assert found[("a", 0)] == found[("a", 1)] == {"compute_ms": 1.0, "copy_ms": 1.0}
    assert found[("b", 0)] == {"compute_ms": 1.5, "copy_ms": 2.0}
    assert pace_of_cases({}) == pace_of_cases({"pace": None}) == {}


def test_two_runs_are_apart_by_the_kind_that_changed_more() -> None:
    a = {"pace": pace_of([row("a", 1, 40), row("a", 2, 44, repeat=1), row("b", 3, 40)])}
    b = {"pace": pace_of([row("a", 1, 42 * 1.2, 15.0), row("b", 2, 40 / 2)])}
    assert slower(a, b, "a") == pytest.approx(1.5)
    assert slower(a, b, "b") == pytest.approx(0.5)
    assert slower(a, b, "c") is slower(a, {}, "a") is slower({"pace": None}, b, "a") is None
    assert slower_words(1.5, 0.05) == [
        "the machine itself took ×1.500 as long around it in B as in A"
    ]
    assert slower_words(1.04, 0.05) == slower_words(1 / 1.04, 0.05) == slower_words(None, 0.0) == []
    assert set(KINDS) == {"compute_ms", "copy_ms"}
