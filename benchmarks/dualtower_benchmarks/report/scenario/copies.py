"""Share of a call that goes into copies between host and card, a row a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower_benchmarks.numerals import DASH, count, number, percent
from dualtower_benchmarks.report.scenario.inputs import Run
from dualtower_benchmarks.report.tables import Table

__all__ = ["copies_table"]

_NO_GPU = "no GPU here"
_SHARES = ("to_device_share", "to_host_share", "copies_share", "copies_exposed_share",
           "compute_share", "idle_share")  # fmt: skip


def copies_table(run: Run) -> Table | None:
    """What the trace of each batch says; None where no case asked for a GPU."""
    asked = any(case["device"] == "GPU" for case in run.document["absent"])
    found = run.document.get("copies") or []
    if not found and not asked:
        return None
    return Table(
        f"Share of a call's time in copies between host and card; {run.hardware}",
        ("rows", "to the card", "back", "both", "not hidden", "computing", "idle",
         "kB a call, to / back", "calls"),
        [_cells(one) for one in found] or [(DASH, *[_NO_GPU] * 6, DASH, DASH)],
        notes=[
            f"Batch {one['batch_rows']}: {one['absent']}." for one in found if one.get("absent")
        ]
        + ["Not hidden: copies while nothing else ran on the card."] * bool(found),
    )  # fmt: skip


def _cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    calls = one.get("calls")
    moved = [one.get(name) for name in ("to_device_bytes", "to_host_bytes")]
    sizes = (number(size / calls / 1e3) if calls and size is not None else DASH for size in moved)
    return (
        str(one["batch_rows"]),
        *(percent(one.get(name)) for name in _SHARES),
        " / ".join(sizes),
        count(calls),
    )
