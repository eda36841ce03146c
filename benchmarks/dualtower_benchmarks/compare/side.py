"""One results file of a comparison, with its requests, held against each other.

What a comparison says of points is counted from the requests. They have to be those of the file:
each row's numbers of answers, errors and skipped requests, and its percentiles, must come out of
them again. Parts are compared by the figures in their rows, for which no requests are needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dualtower.errors import UsageError
from dualtower_benchmarks.load.raw_store import read_raw
from dualtower_benchmarks.load.samples import ClockError, Samples
from dualtower_benchmarks.scenario.rows import PERCENTILES
from dualtower_benchmarks.schema import Results, read_results
from dualtower_benchmarks.stats.blocks import Slotted
from dualtower_benchmarks.stats.noise import noise_of, valid_runs
from dualtower_benchmarks.stats.percentiles import nearest_rank

__all__ = ["Run", "Side", "read_side"]


@dataclass(frozen=True, eq=False)
class Run:
    """One repeat of a point, with its requests."""

    row: dict[str, Any]
    samples: Samples

    @cached_property
    def slotted(self) -> Slotted:
        """The answered requests by slots of time."""
        return Slotted.of(self.samples.latency_ns, self.samples.due_ns[self.samples.answered])


@dataclass(frozen=True, eq=False)
class Side:
    """A results file.

    Args:
        runs: by key, those that are not void, one a repeat.
        rows: by key, a row that stands for the point, void ones among them.
        noise: of its repeats, as `stats.noise` says.
    """

    results: Results
    runs: dict[str, list[Run]]
    rows: dict[str, dict[str, Any]]
    noise: dict[str, Any] | None

    @property
    def document(self) -> Any:
        return self.results.document


def read_side(path: Path) -> Side:
    """Reads a results file and the requests beside it.

    Raises:
        UsageError: one of the two is missing, broken, of another schema, or not of the other's run.
    """
    results = read_results(path)
    if results.points and not results.has_requests:
        raise UsageError(
            f"{path} was kept without its requests, which a comparison of points is made of; give "
            "it as --baseline, or compare the files that `bench run` wrote"
        )
    try:
        raw = read_raw(results.raw_path) if results.points else {}
    except ClockError as error:
        raise UsageError(str(error)) from error
    measured = {number: samples.measured for number, samples in raw.items()}
    for row in results.points:
        _hold_same(results, row, measured.get(row["point"], Samples.none()))
    runs = {
        key: [Run(dict(row), measured.get(row["point"], Samples.none())) for row in rows]
        for key, rows in valid_runs(results.points).items()
    }
    rows = {row["key"]: row for row in results.points}
    return Side(results, runs, rows, noise_of(results.points))


def _hold_same(results: Results, row: dict[str, Any], samples: Samples) -> None:
    found = (len(samples.latency_ns), samples.errors, samples.skipped)
    said = (row["n"], row["errors"], row["skipped"])
    for name, in_raw, in_row in zip(("answers", "errors", "skipped"), found, said, strict=True):
        if in_raw != in_row:
            raise UsageError(
                f"{results.raw_path} has {in_raw} {name} of point {row['point']}, {results.path} "
                f"says {in_row}: one of them was changed, or they are of two runs; keep the files "
                "of a run together, or measure again"
            )
    for name, q in PERCENTILES.items():
        value_ns = round(row[name]["value"] * 1e6) if row[name] else None
        if value_ns is not None and value_ns != nearest_rank(samples.latency_ns, q):
            raise UsageError(
                f"{results.path}: {name} of point {row['point']} is not that of its requests in "
                f"{results.raw_path}; one of them was changed: measure again"
            )
