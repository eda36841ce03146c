"""The files for a phone: size against speed with what is left of the quality, and latencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from dualtower_benchmarks.numerals import NBSP, count, megabytes, milliseconds, share
from dualtower_benchmarks.points import PERCENTILES
from dualtower_benchmarks.report.hardware import hardware
from dualtower_benchmarks.report.svg import (
    INK,
    MARKERS,
    SERIES,
    Panel,
    draw,
    log_ticks,
    plain_ticks,
    short_label,
)

__all__ = ["edge_latency_panels", "edge_trade_panels"]

Row = Mapping[str, Any]
_LINEAR_SPAN = 20.0  # a wider range of latencies is drawn on a logarithmic axis
_VERDICTS = ("ship", "do not ship")


def edge_trade_panels(variants: Sequence[Row], bench: Mapping[str, Any]) -> list[Panel]:
    """A panel per tower: p50 with the fewest threads over the size, Recall@10 at each file."""
    fewest = min((row["threads"] for row in _edge(bench)), default=None)
    speed = {
        (row["model"], row["variant"]): row
        for row in _edge(bench)
        if row["threads"] == fewest and row["p50_ms"]
    }
    panels = []
    for tower in dict.fromkeys(entry["tower"] for entry in variants):
        pairs = [
            (entry, speed[tower, entry["variant"]])
            for entry in variants
            if entry["tower"] == tower and (tower, entry["variant"]) in speed
        ]
        if pairs:
            panels.append(_trade_panel(tower, pairs, bench))
    return panels


def _trade_panel(tower: str, pairs: Sequence[tuple[Row, Row]], bench: Mapping[str, Any]) -> Panel:
    def paint(axes: Axes) -> None:
        for verdict, colour, marker in zip(_VERDICTS, SERIES, ("o", "X"), strict=False):
            chosen = [pair for pair in pairs if pair[0].get("verdict") == verdict]
            if chosen:
                axes.plot(
                    [entry["size_bytes"] / 1e6 for entry, _ in chosen],
                    [row["p50_ms"]["value"] for _, row in chosen],
                    color=colour,
                    marker=marker,
                    markersize=9,
                    ls="",
                    label=verdict,
                )
        for entry, row in pairs:
            axes.annotate(
                f"{short_label(entry['variant'])}\nR@10 {share(entry.get('recall_at_10'))}",
                (entry["size_bytes"] / 1e6, row["p50_ms"]["value"]),
                textcoords="offset points",
                xytext=(0, 9),
                ha="center",
                color=INK,
                fontsize=10.5,
                linespacing=1.25,
            )
        axes.set_xlabel("size, MB")
        axes.set_ylabel("p50, ms")
        # room for the labels above and beside the outermost files
        axes.set_xlim(0, 1.22 * max(entry["size_bytes"] for entry, _ in pairs) / 1e6)
        axes.set_ylim(0, 1.35 * max(row["p50_ms"]["value"] for _, row in pairs))
        plain_ticks(axes, "x", "y")
        axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.2), ncols=2)

    alt = "; ".join(
        f"{entry['variant']} {megabytes(entry['size_bytes'])}, "
        f"p50 {milliseconds(row['p50_ms'])} ms, "
        f"Recall@10 {share(entry.get('recall_at_10'))}, {entry.get('verdict')}"
        for entry, row in pairs
    )
    fewest = min(row["n"] for _, row in pairs)
    return draw(
        f"trade-{tower}",
        paint,
        title=f"{tower}: speed over size",
        alt=f"{tower}: {alt}",
        caption=(
            f"{pairs[0][1]['threads']} thread, batch 1, closed loop, "
            f"n{NBSP}≥{NBSP}{count(fewest)} calls a file; R@10 on held-out users. "
            f"{hardware(bench)}."
        ),
        height_in=4.0,
    )


def edge_latency_panels(bench: Mapping[str, Any]) -> list[Panel]:
    """A panel per tower: p50, p90 and p99 of every variant and number of threads."""
    rows = [row for row in _edge(bench) if row["p50_ms"]]
    towers = dict.fromkeys(row["model"] for row in rows)
    return [
        _latency_panel(tower, [row for row in rows if row["model"] == tower], bench)
        for tower in towers
    ]


def _latency_panel(tower: str, rows: Sequence[Row], bench: Mapping[str, Any]) -> Panel:
    order = list(reversed(rows))
    threads = sorted({row["threads"] for row in rows})
    shown = [row[name]["value"] for row in rows for name in PERCENTILES if row[name]]
    shortest, longest = min(shown), max(shown)

    def paint(axes: Axes) -> None:
        for y, row in enumerate(order):
            position = threads.index(row["threads"]) % len(SERIES)
            colour = SERIES[position]
            ends = [row[name]["value"] for name in PERCENTILES if row[name]]
            axes.plot([ends[0], ends[-1]], [y, y], color=colour, lw=1.4)
            axes.plot([ends[0]], [y], color=colour, marker=MARKERS[position])
            axes.plot(ends[1:], [y] * (len(ends) - 1), color=colour, marker="|", ls="")
        for position, number_of in enumerate(threads):
            slot = position % len(SERIES)
            axes.plot(
                [],
                [],
                color=SERIES[slot],
                marker=MARKERS[slot],
                label=f"{number_of} thread{'s' if number_of > 1 else ''}",
            )
        axes.set_yticks(range(len(order)), [short_label(row["variant"]) for row in order])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.set_ylim(-0.6, len(order) - 0.4)
        axes.set_xlabel("latency, ms")
        if longest > _LINEAR_SPAN * shortest:
            log_ticks(axes, "x")
        else:
            axes.set_xlim(left=0)
            plain_ticks(axes, "x")
        axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.2), ncols=len(threads))

    alt = "; ".join(
        f"{row['variant']} with {row['threads']} threads: "
        f"p50 {milliseconds(row['p50_ms'])} ms, "
        f"p99 {milliseconds(row['p99_ms'])} ms"
        for row in rows
    )
    counts = [row["n"] for row in rows]
    return draw(
        f"edge-{tower}",
        paint,
        title=f"{tower}: latency",
        alt=f"{tower}: {alt}",
        caption=(
            "Marker: p50; ticks: p90 and p99, where the samples suffice. Batch 1, closed loop, "
            f"n{NBSP}={NBSP}{count(min(counts))} to {count(max(counts))} calls. {hardware(bench)}."
        ),
        height_in=1.7 + 0.4 * len(order),
    )


def _edge(bench: Mapping[str, Any]) -> list[Row]:
    return [row for row in bench["points"] if row["part"] == "edge"]
