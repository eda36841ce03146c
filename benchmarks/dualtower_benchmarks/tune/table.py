"""What was tuned, as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dualtower_benchmarks.limit.table import slo_words
from dualtower_benchmarks.numerals import duration, number
from dualtower_benchmarks.tune.tune import Plan

__all__ = ["plan_text", "tune_text"]


def plan_text(plan: Plan, slo: Mapping[str, Any]) -> str:
    """The settings that would be tried, and how long it takes."""
    lines = [f"{slo['driver']} {slo['model']}, batch {slo['batch_rows']}, {slo_words(slo)}"]
    lines += [f"  {one.name}" for one in plan.candidates]
    lines += [f"  left out, no time: {one.name}" for one in plan.left_out]
    return "\n".join([*lines, f"about {duration(plan.expected_s)} with starts of servers"])


def tune_text(evidence: Mapping[str, Any], out: Path) -> str:
    """A line a setting, then what was decided and what was written."""
    rows = [
        (one["name"], str(one["round"] + 1), " ".join(number(qps) for qps in one["limits_qps"]))
        for one in sorted(evidence["candidates"], key=lambda one: (-one["round"], one["place"]))
    ]
    head = ("setting", "rounds", "limits/s")
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(3)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
    written = (
        f"{out}: the same models with {evidence['picked']}; dualtower serve {out}"
        if evidence["changed"]
        else f"nothing was written to {out}; the evidence is in {out}.tune"
    )
    return "\n".join([*lines, evidence["verdict"], written])
