"""What the client costs beside the official way: its codec, its import, its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower_benchmarks.numerals import NBSP, bounds, count, megabytes, number
from dualtower_benchmarks.report.hardware import hardware
from dualtower_benchmarks.report.scenario.inputs import Inputs

__all__ = ["codec", "installed", "starts"]

Row = Mapping[str, Any]


def codec(inputs: Inputs) -> str:
    """The least and the largest ratio to TensorFlow's functions; "" without any."""
    rows = _rows(inputs, "codec")
    if not rows:
        return ""
    ends = [end(rows, key=lambda row: row["ratio"]["value"]) for end in (min, max)]
    texts = [
        f"{number(row['ratio']['value'])} ({bounds(row['ratio'])}) times as fast in {row['case']}"
        for row in ends
    ]
    return (
        f"Beside TensorFlow's functions the client's codec is {' and '.join(texts)} (medians of "
        f"{count(rows[0]['rounds'])} turns, n{NBSP}={NBSP}{count(rows[0]['calls'])} calls each); "
        f"on {_where(inputs)}."
    )


def starts(inputs: Inputs) -> str:
    """How long importing takes, beside the official client; "" without both."""
    sides = {row["side"]: row for row in _rows(inputs, "starts")}
    if not {"client", "official"} <= sides.keys():
        return ""
    ours, theirs = sides["client"], sides["official"]
    return (
        f"Importing the client takes {number(ours['import_s']['value'])} s "
        f"({bounds(ours['import_s'])}) and {megabytes(ours['resident_bytes'])}, the official way "
        f"{number(theirs['import_s']['value'])} s ({bounds(theirs['import_s'])}) and "
        f"{megabytes(theirs['resident_bytes'])} (n{NBSP}={NBSP}{count(ours['starts'])} fresh "
        f"interpreters each); on {_where(inputs)}."
    )


def installed(inputs: Inputs) -> str:
    """Bytes on the disk, beside the official client; "" without both."""
    sides = {row["side"]: row for row in _rows(inputs, "installed")}
    if not {"client", "official"} <= sides.keys():
        return ""
    texts = [
        f"{megabytes(sides[side]['total_bytes'])} in {count(len(sides[side]['distributions']))} "
        "distributions"
        for side in ("client", "official")
    ]
    return (
        f"On the disk the client takes {texts[0]}, the official way {texts[1]}; on "
        f"{_where(inputs)}."
    )


def _rows(inputs: Inputs, kind: str) -> list[Row]:
    return [row for one in inputs.of("clients") for row in one.found.get(kind, [])]


def _where(inputs: Inputs) -> str:
    return hardware(inputs.of("clients")[0].document)
