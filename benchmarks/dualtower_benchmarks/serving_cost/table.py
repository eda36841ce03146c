"""The result of `bench serving` as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower.tables import Table

__all__ = ["serving_tables"]


def serving_tables(document: Mapping[str, Any]) -> list[Table]:
    """One table: one client above, many below."""
    one, many, settings = document["one"], document["many"], document["settings"]
    low, high = one["overhead_p50_ms_range"]
    worst, most = many["ratio_range"]
    load = document["machine"]["load_average_1_min_before"]
    title = (
        f"{document['engine']} server, one text a request, median of {settings['rounds']} turns; "
        f"load before {load:.1f}"
    )
    rows = [
        [
            "1 client, p50 ms",
            f"{one['in_process_p50_ms']:.2f}",
            f"{one['server_p50_ms']:.2f}",
            f"+{one['overhead_p50_ms']:.2f} ms ({low:.2f}–{high:.2f})",
        ],
        [
            f"{settings['clients']} clients, rows/s",
            f"{many['in_process_rows_per_s']:.0f} "
            f"({many['best_callers']} × {many['best_rows']} rows)",
            f"{many['server_rows_per_s']:.0f}",
            f"× {many['ratio']:.2f} ({worst:.2f}–{most:.2f})",
        ],
    ]
    return [Table(title, rows, ("", "in process", "server", "server against it"))]
