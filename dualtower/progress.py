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
def bar(label: str, total: int | None) -> Iterator[Bar]:
    """A progress bar over `total` units (None: unknown)."""
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
                rich_progress.TextColumn("{task.fields[note]}"),
            )
            console = Console(file=sys.stderr)
            with rich_progress.Progress(*columns, console=console, transient=True) as shown:
                yield _RichBar(shown, shown.add_task(label, total=total, note=""))
            return
    yield _LineBar(label, total)


class _RichBar:
    def __init__(self, shown: object, task: object) -> None:
        self._shown, self._task = shown, task

    def advance(self, count: int = 1, *, note: str = "") -> None:
        self._shown.update(  # type: ignore[attr-defined]
            self._task, advance=count, **({"note": note} if note else {})
        )


class _LineBar:
    """A line at most every ten seconds, so that a log of CI stays short and alive."""

    def __init__(self, label: str, total: int | None) -> None:
        self._label, self._total, self._done = label, total, 0
        self._last_ns = time.monotonic_ns()

    def advance(self, count: int = 1, *, note: str = "") -> None:
        self._done += count
        now_ns = time.monotonic_ns()
        if now_ns - self._last_ns >= 10_000_000_000:
            self._last_ns = now_ns
            of = f"/{self._total}" if self._total else ""
            say(f"  {self._label} {self._done}{of} {note}".rstrip())
