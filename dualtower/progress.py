"""Progress on stderr: bars on a terminal, sparse lines elsewhere. stdout stays for results.

with step("encode"):                          # prints the name, then how long it took
    for batch in track(batches, "texts"):     # a bar with rate and time left
        ...
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Protocol, TypeVar

__all__ = ["Bar", "bar", "say", "step", "track"]

T = TypeVar("T")


class Bar(Protocol):
    """What a running bar offers."""

    def advance(self, count: int = 1, *, note: str = "") -> None:
        """Moves on by `count`; `note` replaces the text behind the bar."""

    def skip(self, count: int = 1, *, note: str = "") -> None:
        """Leaves `count` steps out, which were done before or cannot be; no rate counts them."""


def say(text: str) -> None:
    """One line of progress on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


@contextmanager
def step(name: str) -> Iterator[None]:
    """Says when a named step begins and how long it took."""
    begin_ns = time.monotonic_ns()
    say(f"▸ {name}")
    yield
    say(f"✓ {name}: {(time.monotonic_ns() - begin_ns) / 1e9:.1f} s")


def track(items: Iterable[T], label: str, *, total: int | None = None) -> Iterator[T]:
    """Yields `items` and shows how far it is."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with bar(label, total) as moving:
        for item in items:
            yield item
            moving.advance()


@contextmanager
def bar(
    label: str,
    total: int | None,
    *,
    done: int = 0,
    unit: str = "",
    units_each: int = 1,
    rate_over_s: float = 30.0,
) -> Iterator[Bar]:
    """A progress bar over `total` steps (None: unknown), with the time left.

    Args:
        label: what is going on.
        total: how many steps there are.
        done: so many were done before, by a run that is resumed; no rate counts them.
        unit: what a step works through, for a rate in units a second; "" shows none.
        units_each: so many of them in a step.
        rate_over_s: a terminal takes the time left by so many of the last seconds; more where a
            `count` takes longer than that.
    """
    rate = _Rate(unit, units_each)
    if sys.stderr.isatty() and not os.environ.get("NO_PROGRESS"):
        try:
            from rich import progress as rich_progress
            from rich.console import Console
        except ModuleNotFoundError:
            pass
        else:
            columns = (
                rich_progress.TextColumn("  {task.description}"),
                rich_progress.BarColumn(bar_width=28),
                rich_progress.MofNCompleteColumn(),
                rich_progress.TimeElapsedColumn(),
                rich_progress.TextColumn("left"),
                rich_progress.TimeRemainingColumn(),
                rich_progress.TextColumn("{task.fields[rate]}"),
                rich_progress.TextColumn("{task.fields[note]}"),
            )
            console = Console(file=sys.stderr)
            with rich_progress.Progress(
                *columns, console=console, transient=True, speed_estimate_period=rate_over_s
            ) as shown:
                task = shown.add_task(label, total=total, completed=done, note="", rate="")
                yield _RichBar(shown, task, rate, total)
            return
    yield _LineBar(label, total, done, rate)


class _Rate:
    """Steps since the start, and what they come to."""

    def __init__(self, unit: str, units_each: int) -> None:
        self._unit, self._units_each = unit, units_each
        self._begin_ns, self._steps = time.monotonic_ns(), 0

    def count(self, steps: int) -> None:
        self._steps += steps

    @property
    def steps_per_s(self) -> float:
        elapsed_s = (time.monotonic_ns() - self._begin_ns) / 1e9
        return self._steps / elapsed_s if elapsed_s > 0 else 0.0

    def __str__(self) -> str:
        if not self._unit or not self._steps:
            return ""
        return f"{self.steps_per_s * self._units_each:,.0f} {self._unit}/s"

    def left(self, steps: int) -> str:
        """How long so many more steps will take."""
        if not self._steps:
            return ""
        seconds = round(steps / self.steps_per_s)
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d} left"


class _RichBar:
    def __init__(self, shown: object, task: object, rate: _Rate, total: int | None) -> None:
        self._shown, self._task, self._rate, self._total = shown, task, rate, total

    def advance(self, count: int = 1, *, note: str = "") -> None:
        self._rate.count(count)
        self._shown.update(  # type: ignore[attr-defined]
            self._task,
            advance=count,
            rate=str(self._rate),
            **({"note": note} if note else {}),
        )

    def skip(self, count: int = 1, *, note: str = "") -> None:
        if self._total is not None:
            self._total -= count
        self._shown.update(  # type: ignore[attr-defined]
            self._task, total=self._total, **({"note": note} if note else {})
        )


class _LineBar:
    """A line at most every ten seconds, so that a log of CI stays short and alive."""

    def __init__(self, label: str, total: int | None, done: int, rate: _Rate) -> None:
        self._label, self._total, self._done, self._rate = label, total, done, rate
        self._last_ns = time.monotonic_ns()

    def advance(self, count: int = 1, *, note: str = "") -> None:
        self._done += count
        self._rate.count(count)
        now_ns = time.monotonic_ns()
        if now_ns - self._last_ns >= 10_000_000_000:
            self._last_ns = now_ns
            of = f"/{self._total}" if self._total else ""
            left = self._rate.left(self._total - self._done) if self._total else ""
            facts = ", ".join(part for part in (str(self._rate), left, note) if part)
            say(f"  {self._label} {self._done}{of} {facts}".rstrip())

    def skip(self, count: int = 1, *, note: str = "") -> None:
        if self._total is not None:
            self._total -= count
