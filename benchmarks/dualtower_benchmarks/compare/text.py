"""A comparison for a terminal: what is within noise is grey."""

from __future__ import annotations

import click

from dualtower_benchmarks.compare.cells import HEAD, NUMBERS, facts, lines, only, summary
from dualtower_benchmarks.compare.verdicts import (
    BETTER,
    NOISE_NOT_KNOWN,
    NOT_COMPARABLE,
    WITHIN_NOISE,
    WORSE,
    Comparison,
)

__all__ = ["comparison_text"]

_COLOURS = {
    WORSE: "red",
    BETTER: "green",
    WITHIN_NOISE: "bright_black",
    NOISE_NOT_KNOWN: "yellow",
    NOT_COMPARABLE: "yellow",
}


def comparison_text(comparison: Comparison) -> str:
    """The table with everything around it; `click.echo` drops the colours where they do not fit."""
    found = list(lines(comparison))
    table = [HEAD, *(line.cells for line in found)]
    widths = [max(len(cells[i]) for cells in table) for i in range(len(HEAD))]
    loud = [
        click.style(said, fg="red", bold=True) if said.startswith("MACHINES") else said
        for said in facts(comparison)
    ]
    rows = [click.style(_aligned(line.cells, widths), fg=_COLOURS[line.verdict]) for line in found]
    return "\n".join([*loud, _aligned(HEAD, widths), *rows, *only(comparison), summary(comparison)])


def _aligned(cells: tuple[str, ...], widths: list[int]) -> str:
    return "  ".join(
        cell.rjust(width) if name in NUMBERS else cell.ljust(width)
        for cell, width, name in zip(cells, widths, HEAD, strict=True)
    ).rstrip()
