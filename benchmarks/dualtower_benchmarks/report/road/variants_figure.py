"""What each TFLite file keeps of float's ranking, by its size and by the time of a call.

The numbers are the export's own, out of the manifest: files that were not shipped are there too.
A row a file, in the order of what it costs: most variants are of one size and keep the same recall,
so points over a plane would lie on each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from dualtower_benchmarks.numerals import NBSP, share
from dualtower_benchmarks.report.svg import MUTED, SERIES, Panel, draw, plain_ticks, short_label

__all__ = ["variant_panels"]

Row = Mapping[str, Any]
_Z95 = 1.96
_BELOW = 0.9  # of float's recall: what keeps less is drawn at the left edge


def variant_panels(variants: Sequence[Row]) -> list[Panel]:
    """Two panels per tower: Recall@10 by megabytes, and by milliseconds with one thread."""
    panels = []
    for tower in dict.fromkeys(row["tower"] for row in variants):
        rows = [
            row for row in variants
            if row["tower"] == tower and row.get("recall_at_10") is not None
        ]  # fmt: skip
        if rows:
            panels.append(_panel(tower, "size", "MB", rows, lambda row: row["size_bytes"] / 1e6))
        timed = [row for row in rows if row.get("ms_p50")]
        if timed:
            panels.append(_panel(tower, "latency", "ms", timed, lambda row: row["ms_p50"]["1"]))
    return panels


def _panel(
    tower: str, what: str, unit: str, rows: Sequence[Row], cost: Callable[[Row], float]
) -> Panel:
    order = sorted(rows, key=cost, reverse=True)  # the cheapest on top
    wanted = float(rows[0]["recall_at_10_float"])
    low = _BELOW * wanted

    def paint(axes: Axes) -> None:
        axes.axvline(wanted, color=MUTED, lw=1.0, ls="--")
        for y, row in enumerate(order):
            shipped, below = row.get("verdict") == "ship", row["recall_at_10"] < low
            interval = 0.0 if below else _Z95 * (row.get("recall_at_10_loss_se") or 0.0)
            axes.errorbar(
                [max(row["recall_at_10"], low)], [y], xerr=[[interval], [interval]],
                color=SERIES[0] if shipped else SERIES[1], elinewidth=1.2,
                marker="<" if below else "o" if shipped else "X", ls="",
            )  # fmt: skip
        axes.set_yticks(
            range(len(order)),
            [f"{short_label(row['variant'])}  {cost(row):.3g}{NBSP}{unit}" for row in order],
        )
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.set_ylim(-0.6, len(order) - 0.4)
        axes.set_xlabel("Recall@10")
        axes.margins(x=0.08)
        axes.locator_params(axis="x", nbins=4)
        plain_ticks(axes, "x")
        for verdict, colour, marker in (
            ("ships", SERIES[0], "o"), ("does not", SERIES[1], "X"),
        ):  # fmt: skip
            axes.plot([], [], color=colour, marker=marker, ls="", label=verdict)
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.4, -0.55 / (1 + 0.24 * len(order))), ncols=2
        )

    alt = "; ".join(
        f"{row['variant']} {cost(row):.3g} {unit}, Recall@10 {share(row['recall_at_10'])}, "
        f"{row.get('verdict')}"
        for row in reversed(order)
    )
    measured = "One thread, batch 1, p50. " if what == "latency" else ""
    return draw(
        f"{what}-{tower}",
        paint,
        title=f"{tower} by {what}",
        alt=f"{tower} by {what}: {alt}",
        caption=(
            f"{measured}Dashed: float. Bars: 95 % of the difference to float, user by user. "
            f"◀{NBSP}keeps less than {_BELOW:.0%} of it and lies further left. "
            f"{rows[0].get('users', '?')} users with a target; measured by the export."
        ),
        height_in=1.9 + 0.29 * len(order),
    )
