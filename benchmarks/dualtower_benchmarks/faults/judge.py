"""What no line of the fault table may show. Pure."""

from __future__ import annotations

from dualtower_benchmarks.faults.row import Row

__all__ = ["HANG_MS", "complaints_of"]

HANG_MS = 1000.0  # past the deadline: more than two busy cores take to say that time is over


def complaints_of(row: Row) -> list[str]:
    """Why the row fails the run; empty where all is well."""
    found = []
    if row.wrong:
        found.append(f"{row.wrong} wrong answers")
    for name, count in row.unnamed.items():
        found.append(f"{count} failures without a name: {name}")
    if row.hung:
        found.append(f"{row.hung} calls never ended")
    late_ms = row.longest_past_deadline_ms
    if late_ms is not None and late_ms > HANG_MS:
        found.append(f"a call ended {late_ms:.0f} ms past its deadline, {HANG_MS:g} are allowed")
    for what, count in row.leaked.items():
        if count:
            found.append(f"{count} {what} left after close")
    for what, count in row.proofs.items():
        if not count:
            found.append(f"the fault did not come about: no {what}")
    ended = row.answered + row.wrong + sum(row.failed.values()) + sum(row.unnamed.values())
    if ended > row.calls or (not row.hung and ended != row.calls):
        found.append(f"{row.calls} calls were begun, {ended} have an end")
    return [f"{row.fault}, {row.client}: {complaint}" for complaint in found]
