"""What did not go as asked: requests that failed or were skipped, attempts that are void."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from dualtower_benchmarks.numerals import NBSP, count, number
from dualtower_benchmarks.report.scenario.inputs import Run
from dualtower_benchmarks.report.scenario.series import legend_below, rate_words, row_words
from dualtower_benchmarks.report.svg import INK, MARKERS, SERIES, Panel, cut, draw, plain_ticks
from dualtower_benchmarks.schema.labels import load_words
from dualtower_benchmarks.schema.measured import Measured

__all__ = ["is_spoilt", "spoilt_panels"]

_ROWS = 14  # of a panel


def is_spoilt(case: Measured) -> bool:
    """Whether an attempt was void, or a request failed or was skipped."""
    return bool(case.void or case.failed or case.skipped)


def spoilt_panels(run: Run) -> list[Panel]:
    """Cases with a void attempt, a failed or a skipped request; nothing where there are none."""
    spoilt = [case for case in run.cases if is_spoilt(case)]
    return [_panel(run, spoilt[part : part + _ROWS], part) for part in range(0, len(spoilt), _ROWS)]


def _panel(run: Run, cases: Sequence[Measured], part: int) -> Panel:
    order = list(reversed(cases))
    shares = [_shares(case) for case in order]
    height_in = 2.15 + 0.52 * len(order)

    def paint(axes: Axes) -> None:
        for y, (case, (failed, skipped, void)) in enumerate(zip(order, shares, strict=True)):
            for place, share in enumerate((failed, skipped, void)):
                if share:
                    axes.plot(
                        [100 * share], [y], color=SERIES[place + 1], marker=MARKERS[place + 1],
                        ls="",
                    )  # fmt: skip
            axes.annotate(
                cut(f"{run.labels(case)}, {row_words(case)}, {_load(case)}", 56),
                (0.0, y), xycoords=("axes fraction", "data"), textcoords="offset points",
                xytext=(2, 7), color=INK, fontsize=10.0,
            )  # fmt: skip
        for place, label in enumerate(("failed", "skipped", "void")):
            axes.plot(
                [], [], color=SERIES[place + 1], marker=MARKERS[place + 1], ls="", label=label
            )
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_ylim(-0.5, len(order) - 0.2)
        most = 100 * max(max(one) for one in shares)
        axes.set_xlim(-0.03 * most, 1.05 * most)
        axes.set_xlabel("% of requests; of attempts where void")
        plain_ticks(axes, "x")
        legend_below(axes, ["failed", "skipped", "void"], height_in=height_in)

    words = "; ".join(
        f"{run.labels(case)} {_load(case)}: {number(100 * failed)} % failed, "
        f"{number(100 * skipped)} % skipped, {number(100 * void)} % of attempts void"
        for case, (failed, skipped, void) in zip(order, shares, strict=True)
    )
    open_words = f", {rate_words(cases)}" if any(case.is_open for case in cases) else ""
    return draw(
        f"spoilt-{run.mark}-{part}",
        paint,
        title="Failed, skipped and void",
        alt=f"Share of failed and skipped requests and of void attempts: {words}",
        caption=(
            f"Cases that have any, all attempts counted{open_words}. "
            f"n{NBSP}={NBSP}{count(sum(_due(case) for case in cases))} requests that were due. "
            f"{run.hardware}."
        ),
        height_in=height_in,
    )


def _load(case: Measured) -> str:
    return load_words(case, case.offered_qps)


def _shares(case: Measured) -> tuple[float, float, float]:
    """Failed and skipped requests of all that were due, void attempts of all attempts."""
    attempts = (*case.rows, *case.void)
    due = _due(case) or 1
    failed = sum(sum(row["errors"].values()) for row in attempts)
    skipped = sum(row["skipped"] for row in attempts)
    return failed / due, skipped / due, len(case.void) / len(attempts)


def _due(case: Measured) -> int:
    return sum(
        row["n"] + sum(row["errors"].values()) + row["skipped"] for row in (*case.rows, *case.void)
    )
