"""Bars where there is no terminal: lines on stderr, with rate and time left."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from dualtower import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    """Seconds that a test moves by hand."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic_ns", lambda: int(now[0] * 1e9))
    return now


def test_a_line_every_ten_seconds_says_rate_and_time_left(clock, capsys) -> None:
    with progress.bar("train", 400, done=100, unit="histories", units_each=128) as moving:
        for _ in range(50):
            clock[0] += 0.5
            moving.advance(note="loss 2.000")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "  train 120/400 256 histories/s, 0:02:20 left, loss 2.000",
        "  train 140/400 256 histories/s, 0:02:10 left, loss 2.000",
    ]


def test_without_unit_or_total_a_line_is_short(clock, capsys) -> None:
    with progress.bar("read", None) as moving:
        clock[0] += 11
        moving.advance()
    assert capsys.readouterr().err == "  read 1\n"


def test_what_was_done_before_is_not_part_of_the_rate(clock, capsys) -> None:
    with progress.bar("train", 1000, done=900, unit="rows") as moving:
        clock[0] += 20
        moving.advance(10)
    assert "  train 910/1000 0 rows/s, 0:03:00 left" in capsys.readouterr().err


def test_a_long_wait_is_said_in_hours(clock, capsys) -> None:
    with progress.bar("train", 5000) as moving:
        for _ in range(2):
            clock[0] += 10
            moving.advance()
    found = re.findall(r"(\d+):(\d\d):(\d\d) left", capsys.readouterr().err)
    seconds = [int(h) * 3600 + int(m) * 60 + int(s) for h, m, s in found]
    assert seconds == [49_990, 49_980]
    assert all(later < earlier for earlier, later in pairwise(seconds))


def test_what_is_skipped_is_no_work_and_no_time(clock, capsys) -> None:
    """Half of 100 s of work was done before: the other half goes at its own pace."""
    with progress.bar("run", 100) as moving:
        moving.skip(50, note="kept")
        clock[0] += 20
        moving.advance(10)
    assert capsys.readouterr().err == "  run 10/50 0:01:20 left\n"


def test_a_bar_on_a_terminal_shrinks_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_PROGRESS", raising=False)
    with progress.bar("run", 100, rate_over_s=3600.0) as moving:
        moving.skip(40, note="kept")
        moving.advance(10)
        (task,) = moving._shown.tasks  # type: ignore[attr-defined]
        assert (task.total, task.completed, task.fields["note"]) == (60, 10, "kept")
