"""One line of the fault table: what a kind of client did under one fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from dualtower_benchmarks.stats.percentiles import Estimate

__all__ = ["Row", "together"]


@dataclass(frozen=True)
class Row:
    """What was seen of one load.

    Attributes:
        fault: what was wrong.
        client: "threads" or "asyncio".
        servers: what was asked.
        timeout_ms: the longest deadline of a call.
        calls: that were begun; the five below add up to them.
        answered: with what was to be expected.
        wrong: answered with something else.
        failed: by the name of the error.
        unnamed: failures that are none of dualtower's errors, by name.
        hung: calls, connects and closes that had not ended when they were given up.
        longest_past_deadline_ms: of the calls that ended after their deadline (of one that was
            cancelled: after it was); None where none did.
        p50_ms, p99_ms: of the answered calls; None where they are too few.
        leaked: what was there after the client was closed, and not before it was made.
        proofs: counts that show that the fault came about; none may be 0.
        figures: what else there is to say, such as the calls that hedging added.
    """

    fault: str
    client: str
    servers: str
    timeout_ms: float
    calls: int
    answered: int
    wrong: int
    failed: Mapping[str, int]
    unnamed: Mapping[str, int]
    hung: int
    longest_past_deadline_ms: float | None
    p50_ms: Estimate | None
    p99_ms: Estimate | None
    leaked: Mapping[str, int]
    proofs: Mapping[str, int] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For the result's `rows`."""
        return asdict(self)


def together(rows: Sequence[Row]) -> Row:
    """Several loads of one fault as one row; percentiles do not add up, and are left out."""
    past_ms = [row.longest_past_deadline_ms for row in rows]
    return replace(
        rows[0],
        calls=sum(row.calls for row in rows),
        answered=sum(row.answered for row in rows),
        wrong=sum(row.wrong for row in rows),
        failed=_added([row.failed for row in rows]),
        unnamed=_added([row.unnamed for row in rows]),
        hung=sum(row.hung for row in rows),
        longest_past_deadline_ms=max((ms for ms in past_ms if ms is not None), default=None),
        p50_ms=None,
        p99_ms=None,
        leaked=_added([row.leaked for row in rows]),
    )


def _added(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    names = dict.fromkeys(name for one in counts for name in one)
    return {name: sum(one.get(name, 0) for one in counts) for name in names}
