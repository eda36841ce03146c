"""Drivers, devices and settings beside each other under equal load, grey where the difference is
no larger than what two runs of the same differ by.
"""

from __future__ import annotations

from collections.abc import Sequence

from dualtower_benchmarks.numerals import count, number
from dualtower_benchmarks.report.scenario.inputs import Run
from dualtower_benchmarks.report.scenario.noise_figure import two_runs
from dualtower_benchmarks.report.tables import Cell, Table
from dualtower_benchmarks.schema.labels import load_words
from dualtower_benchmarks.schema.measured import Measured

__all__ = ["compared", "differences_table", "within_noise"]


def differences_table(run: Run) -> Table | None:
    """Closed loops of equal model, batch and clients: p50 of each over that of the first.

    None where no two cases can be compared.
    """
    pairs = compared(run)
    if not pairs:
        return None
    noise = two_runs(run, "p50_ms")
    said = f"grey: within the noise, ×{number(noise)}" if noise else "the noise is not known"
    return Table(
        f"p50 over that of another under equal load; {said}",
        ("what", "over", "rows", "load", "times as long", "n"),
        [_row(run, reference, other) for reference, other in pairs],
        prose=frozenset({"over", "load"}),
        greyed=frozenset(place for place, pair in enumerate(pairs) if within_noise(run, *pair)),
    )


def compared(run: Run) -> list[tuple[Measured, Measured]]:
    """Closed loops of equal model, batch and clients: the first of each with every other."""
    groups: dict[tuple[str, int, int], list[Measured]] = {}
    for case in run.of("closed"):
        if case.value("p50_ms"):
            place = (case["model"], case["batch_rows"], case["concurrency"])
            groups.setdefault(place, []).append(case)
    return [(cases[0], other) for cases in groups.values() for other in cases[1:]]


def within_noise(run: Run, reference: Measured, other: Measured) -> bool:
    """Whether p50 of both differs by no more than two runs of the same do."""
    ratio, noise = _ratio(reference, other), two_runs(run, "p50_ms")
    return noise is not None and max(ratio, 1.0 / ratio) <= noise


def _row(run: Run, reference: Measured, other: Measured) -> Sequence[str | Cell]:
    ours, theirs = other.value("p50_ms"), reference.value("p50_ms")
    return (
        run.labels(other),
        run.labels(reference),
        str(other["batch_rows"]),
        load_words(other, None),
        Cell(number(_ratio(reference, other)), f"{number(ours)} / {number(theirs)} ms"),
        f"{count(other.n)} / {count(reference.n)}",
    )


def _ratio(reference: Measured, other: Measured) -> float:
    ours, theirs = other.value("p50_ms"), reference.value("p50_ms")
    assert ours is not None
    assert theirs is not None
    return ours / theirs
