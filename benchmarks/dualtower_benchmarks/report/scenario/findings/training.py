"""What training took: rows a second of each engine, and of ours over the reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dualtower_benchmarks.numerals import NBSP, bounds, count, number, percent
from dualtower_benchmarks.report.hardware import hardware
from dualtower_benchmarks.report.scenario.inputs import Inputs
from dualtower_benchmarks.training.speed import OURS

__all__ = ["steps", "training"]

Row = Mapping[str, Any]
_NAMED = 3  # measurements in a sentence


def training(inputs: Inputs) -> str:
    """Our engine in each measurement; "" where nothing was trained."""
    return _said("Training took", inputs, _text)


def steps(inputs: Inputs) -> str:
    """How long one step of ours took in each measurement; "" where no step has a time."""
    return _said("A step of training took", inputs, _step)


def _said(what: str, inputs: Inputs, text: Callable[[Row], str]) -> str:
    found = inputs.of("training")
    rows: dict[str, Row] = {}  # the first repeat of each measurement
    for one in found:
        for row in one.found["rows"]:
            if row["engine"] == OURS:
                rows.setdefault(row["key"], row)
    texts = [said for row in list(rows.values())[:_NAMED] if (said := text(row))]
    return f"{what} {'; '.join(texts)}; on {hardware(found[0].document)}." if texts else ""


def _step(row: Row) -> str:
    took = row.get("step_s")
    if not took:
        return ""
    who = "of the towers" if row["what"] == "towers" else f"of {row['encoder']}"
    return (
        f"{number(took['value'])} s {who} (batch {row['batch']}, {bounds(took)} s over its turns, "
        f"n{NBSP}={NBSP}{count(row['n'])} steps)"
    )


def _text(row: Row) -> str:
    if row["what"] == "towers":
        who, unit = f"towers over cached encodings, batch {row['batch']},", "histories"
    else:
        chunk = f" in chunks of {row['chunk']}" if row["chunk"] else ""
        who, unit = f"{row['encoder']}, batch {row['batch']}{chunk},", "pairs"
    facts = [f"n{NBSP}={NBSP}{count(row['n'])} steps"]
    if row["share_of_peak"] is not None:
        facts.insert(0, f"{percent(row['share_of_peak'])} of the matrix peak")
    if row["ratio"]:
        ratio = row["ratio"]
        facts.insert(0, f"{number(ratio['value'])} ({bounds(ratio)}) times the reference's rate")
    rate = row["rows_per_s"]
    return f"{who} {number(rate['value'])} {unit} a second ({', '.join(facts)})"
