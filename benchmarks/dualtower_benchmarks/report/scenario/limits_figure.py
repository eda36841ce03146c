"""A search for a limit: each probe's percentile over its rate, the SLO, and the rate found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from dualtower_benchmarks.numerals import NBSP, count, number
from dualtower_benchmarks.report.scenario.limits import by_key, limit_words, subject_words
from dualtower_benchmarks.report.scenario.series import legend_below
from dualtower_benchmarks.report.svg import (
    INK,
    MARKERS,
    MUTED,
    SERIES,
    Panel,
    draw,
    log_ticks,
    plain_ticks,
)
from dualtower_benchmarks.schema.labels import asked

__all__ = ["limit_panels"]

Row = Mapping[str, Any]
_VERDICTS = ("held", "broke", "void")
_LOG_SPAN = 4.0  # a wider range of rates is drawn on a logarithmic axis


def limit_panels(found: Mapping[str, Any], where: str, *, name: str) -> list[Panel]:
    """A panel for each case, the probes of all its repeats.

    Args:
        where: the hardware.
        name: unique on the page; it begins the names of the panels.
    """
    cases = by_key(found["rows"])
    return [_panel(rows, where, f"{name}-{place}") for place, rows in enumerate(cases)]


def _panel(rows: Sequence[Row], where: str, name: str) -> Panel:
    row = rows[0]
    probes = [probe for one in rows for probe in one["probes"]]
    percentile = f"p{100 * row['slo_percentile']:g}"
    rates = [probe["offered_qps"] for probe in probes]
    limits = [one["limit_qps"] for one in rows if one["limit_qps"] is not None]
    height_in = 4.1

    def paint(axes: Axes) -> None:
        axes.set_yscale("log")
        for limit in limits:
            axes.axvline(limit, color=MUTED, lw=1.2, ls=":")
        for place, verdict in enumerate(_VERDICTS):
            _paint(axes, [one for one in probes if one["verdict"] == verdict], verdict, place)
        axes.axhline(row["slo_ms"], color=INK, lw=1.0, ls="--")
        axes.annotate(
            f"SLO {asked(row['slo_ms'])} ms", (1.0, row["slo_ms"]),
            xycoords=("axes fraction", "data"), textcoords="offset points", xytext=(0, -13),
            ha="right", color=INK, fontsize=10.5,
        )  # fmt: skip
        if limits:
            axes.annotate(
                f"{number(sorted(limits)[(len(limits) - 1) // 2])}/s", (max(limits), 1.0),
                xycoords=("data", "axes fraction"), textcoords="offset points", xytext=(4, -11),
                color=INK, fontsize=10.5,
            )  # fmt: skip
        axes.set_xlabel("requests a second offered")
        axes.set_ylabel(f"{percentile}, ms")
        axes.margins(0.12)
        if max(rates) > _LOG_SPAN * min(rates):
            log_ticks(axes, "x")
        else:
            axes.locator_params(axis="x", nbins=5)
            plain_ticks(axes, "x")
        log_ticks(axes, "y")
        legend_below(axes, _VERDICTS, height_in=height_in)

    counts = [probe["n"] for probe in probes]
    return draw(
        name,
        paint,
        title=f"{subject_words(row)}, batch {row['batch_rows']}",
        alt=f"{percentile} over the offered rate, {subject_words(row)}: {limit_words(rows)}; "
        + "; ".join(_words(probe, percentile) for probe in probes),
        caption=(
            f"A mark a probe, {asked(min(rates))} to {asked(max(rates))} requests a second offered "
            f"({row['arrivals']}), with a line for its interval. Dashed: the SLO; dotted: the "
            f"highest rate that held. Void: the generator lagged, on the axis. "
            f"n{NBSP}={NBSP}{count(min(counts))} to {count(max(counts))} requests a probe. {where}."
        ),
        height_in=height_in,
    )


def _paint(axes: Axes, probes: Sequence[Row], verdict: str, place: int) -> None:
    colour, marker = SERIES[place], MARKERS[place] if verdict != "void" else "x"
    face = colour if verdict == "held" else "none"
    drawn = [probe for probe in probes if probe["level_ms"] is not None and verdict != "void"]
    for probe in drawn:
        level = probe["level_ms"]
        axes.plot([probe["offered_qps"]] * 2, [level["low"], level["high"]], color=colour, lw=1.0)
    axes.plot(
        [probe["offered_qps"] for probe in drawn],
        [probe["level_ms"]["value"] for probe in drawn],
        color=colour, marker=marker, markerfacecolor=face, ls="",
    )  # fmt: skip
    rest = [probe["offered_qps"] for probe in probes if probe not in drawn]
    axes.plot(
        rest, [0.03] * len(rest), transform=axes.get_xaxis_transform(), color=colour,
        marker=marker, markerfacecolor=face, markeredgewidth=1.6, ls="", clip_on=False,
    )  # fmt: skip
    axes.plot([], [], color=colour, marker=marker, markerfacecolor=face, ls="", label=verdict)


def _words(probe: Row, percentile: str) -> str:
    level = probe["level_ms"]
    reasons = f" ({', '.join(probe['reasons'])})" if probe["reasons"] else ""
    return (
        f"{asked(probe['offered_qps'])}/s {probe['verdict']}{reasons}, {percentile} "
        f"{number(level['value']) if level else 'not known'} ms"
    )
