"""The result of `bench clients` as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower.tables import Table
from dualtower_benchmarks.numerals import DASH, count, megabytes, number

__all__ = ["client_tables"]

_NAMES = {"python": "python alone", "client": "dualtower_clients", "official": "the official way"}


def client_tables(document: Mapping[str, Any]) -> list[Table]:
    """Codec, start and size on the disk."""
    return [_codec(document), _starts(document), _installed(document["installed"])]


def _codec(document: Mapping[str, Any]) -> Table:
    settings = document["settings"]
    load = document["machine"]["load_average_1_min_before"]
    title = (
        f"codec: float32 [{settings['rows']}, {settings['dim']}], {count(settings['strings'])} "
        f"strings; {document['engines']}; median of {settings['rounds']} turns of "
        f"{settings['calls']} calls; load before {load:.1f}"
    )
    rows = [
        [
            row["case"],
            number(row["client_us"]),
            number(row["official_us"]),
            f"{number(row['ratio'])} ({'–'.join(map(number, row['ratio_range']))})",
        ]
        for row in document["codec"]
    ]
    return Table(title, rows, ("", "client µs", "TensorFlow µs", "× faster (range)"))


def _starts(document: Mapping[str, Any]) -> Table:
    title = f"import in a fresh interpreter: median of {document['settings']['starts']}"
    rows = [
        [
            _NAMES[kind],
            f"{number(start['import_s'])} ({'–'.join(map(number, start['import_s_range']))})",
            number(start["cpu_s"]),
            megabytes(start["resident_bytes"]),
        ]
        for kind, start in document["starts"].items()
    ]
    return Table(title, rows, ("", "s (range)", "CPU s", "resident"))


def _installed(installed: Mapping[str, Any]) -> Table:
    rows = []
    for kind, found in installed.items():
        if found is None:
            rows.append([_NAMES[kind], DASH, DASH, ""])
            continue
        sizes = sorted(found["distributions"].items(), key=lambda one: -one[1])
        largest = ", ".join(f"{name} {megabytes(size)}" for name, size in sizes[:3])
        rows.append([_NAMES[kind], count(len(sizes)), megabytes(found["total_bytes"]), largest])
    return Table("on the disk", rows, ("", "distributions", "size", "largest"))
