"""The result of `bench topk` as tables, one for each batch and number of threads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower.tables import Table

__all__ = ["topk_tables"]

_HEADER = ("", "wall ms", "CPU ms", "recall", "× CPU of faiss flat", "times faster than exact")


def topk_tables(document: Mapping[str, Any]) -> list[Table]:
    """One table for each batch and number of threads."""
    settings, machine = document["settings"], document["machine"]
    tables = []
    for threads in settings["threads"]:
        for batch in settings["batches"]:
            title = (
                f"{settings['items']:,} items of {settings['dim']} numbers, best {settings['k']}; "
                f"batch {batch}, threads: {threads}; {settings['lists']} lists; "
                f"load before {machine['load_average_1_min_before']:.1f}"
            )
            rows = [
                _row(point)
                for point in document["points"]
                if (point["batch"], point["threads"]) == (batch, threads)
            ]
            tables.append(Table(title, rows, _HEADER))
    return tables


def _row(point: Mapping[str, Any]) -> list[str]:
    ratio, faster = point["cpu_to_reference"], point["wall_to_exact"]
    return [
        f"{point['side']} {point['engine']}",
        f"{point['wall_ms']:.2f}",
        f"{point['cpu_ms']:.2f}",
        f"{point['recall']:.4f}",
        "" if ratio is None else f"{ratio['value']:.2f} ({ratio['low']:.2f}–{ratio['high']:.2f})",
        "" if faster is None else f"{1 / faster['value']:.1f}",
    ]
