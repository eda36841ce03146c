"""Peaks and points for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower.tables import Table
from dualtower_benchmarks.machine import cpu_words
from dualtower_benchmarks.numerals import count, number, percent

__all__ = ["roofline_tables"]

_PEAKS = ("", "threads", "median", "interval", "best turn", "turns")
_POINTS = (
    "", "batch", "MFLOP a row", "kB a row", "least kB", "FLOP/byte", "roof GFLOP/s", "GFLOP/s",
    "of the peak",
)  # fmt: skip


def roofline_tables(document: Mapping[str, Any]) -> list[Table]:
    """Of what `roofline_of_bundle` gives."""
    peaks, machine = document["roofline"], document["machine"]
    array = f"arrays of {number(peaks['array_bytes'] / 1e6)} MB"
    if peaks["array_to_cache"]:
        array += f", {number(peaks['array_to_cache'], 2)} × the last cache"
    head = (
        f"Peaks of {cpu_words(machine)}, {machine['usable_cores']} cores, load "
        f"before {number(machine['load_average_1_min_before'])}; products of "
        f"{peaks['matrix_size']:,} rows; {array}"
    )
    points = (
        "SavedModels in process, one caller; bytes: no cache between ops (least: a perfect one); "
        f"FLOPs over {document['points'][0]['count']['counted_rows']} or more rows of the catalogue"
    )
    return [
        Table(head, [_peak(row) for row in peaks["peaks"]], _PEAKS),
        Table(points, [_point(row) for row in document["points"]], _POINTS),
    ]


def _peak(row: Mapping[str, Any]) -> list[str]:
    found, unit = (
        (row["gbytes_per_s"], "GB/s") if "gbytes_per_s" in row else (row["gflops"], "GFLOP/s")
    )
    return [
        row["kind"].replace("_", " "),
        count(row["threads"]),
        f"{number(found['value'])} {unit}",
        f"{number(found['low'])}–{number(found['high'])}",
        number(found["best"]),
        count(found["n"]),
    ]


def _point(row: Mapping[str, Any]) -> list[str]:
    return [
        row["model"],
        count(row["batch_rows"]),
        number(row["flops_per_row"] / 1e6),
        number(row["bytes_per_row"] / 1e3),
        number(row["least_bytes_per_row"] / 1e3),
        number(row["intensity"]),
        number(row["roof_gflops"]),
        number(row["achieved_gflops"]),
        percent(row["share_of_peak"]),
    ]
