"""Ranking quality as dots with intervals: a panel per question, a line per method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from dualtower_benchmarks.numerals import NBSP, count, estimate, is_estimate
from dualtower_benchmarks.report.svg import MARKERS, SERIES, Panel, draw, plain_ticks, short_label

__all__ = ["OURS", "SCOPES", "method_name", "quality_panels"]

OURS = "dualtower"
SCOPES = {
    "warm": "Known items",
    "cold": "New items among new items",
    "cold_in_full": "New items in the full catalogue",
}
_METRICS = (("recall_at_20", "Recall@20"), ("ndcg_at_20", "NDCG@20"))
_TWO_SIDED_95 = 1.96
_BY_HISTORY = "recall_at_20_by_history"
_FEWEST_USERS = 20


def quality_panels(evaluation: Mapping[str, Any]) -> list[Panel]:
    """A panel per scope of the evaluation, and known items by the length of the history."""
    panels = []
    for scope, title in SCOPES.items():
        result = evaluation.get(scope)
        if result and any(is_estimate(row.get("recall_at_20")) for row in result["methods"]):
            panels.append(_panel(scope, title, result))
    return [*panels, *_history_panel(evaluation.get("warm"))]


def method_name(row: Mapping[str, Any]) -> str:
    """What a reader calls the method of a row of evaluation.json."""
    return str(row.get("title", row["method"]))


def _panel(scope: str, title: str, result: Mapping[str, Any]) -> Panel:
    rows = list(reversed(_rows(result)))
    height_in = 1.9 + 0.42 * len(rows)

    def paint(axes: Axes) -> None:
        for (key, label), colour, marker, shift in zip(
            _METRICS, SERIES, MARKERS, (0.12, -0.12), strict=False
        ):
            known = [(y, row) for y, row in enumerate(rows) if is_estimate(row.get(key))]
            axes.errorbar(
                [row[key]["value"] for _, row in known],
                [y + shift for y, _ in known],
                xerr=[_TWO_SIDED_95 * (row[key].get("se") or 0.0) for _, row in known],
                fmt=marker,
                color=colour,
                elinewidth=1.6,
                label=label,
            )
        axes.set_yticks(range(len(rows)), [short_label(method_name(row)) for row in rows])
        for tick, row in zip(axes.get_yticklabels(), rows, strict=True):
            tick.set_fontweight("bold" if row["method"] == OURS else "normal")
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlim(left=0)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        plain_ticks(axes, "x")
        axes.locator_params(axis="x", nbins=6)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)

    alt = "; ".join(
        f"{method_name(row)} Recall@20 {estimate(row.get('recall_at_20'))}"
        for row in reversed(rows)
    )
    return draw(
        f"quality-{scope}",
        paint,
        title=title,
        alt=f"{title}: {alt}",
        caption=(
            f"n{NBSP}={NBSP}{count(result.get('users'))} users, {count(result.get('candidates'))} "
            "candidates; bars are 95 % intervals (1.96 standard errors)."
        ),
        height_in=height_in,
    )


def _history_panel(warm: Mapping[str, Any] | None) -> list[Panel]:
    """Ours beside the best of the others and what everybody is shown, over groups of users."""
    rows = [row for row in (warm or {}).get("methods", []) if _BY_HISTORY in row]
    if warm is None or not rows or rows[0]["method"] != OURS:
        return []
    others = [row for row in rows if row["method"] != OURS and "variant_of" not in row]
    others.sort(key=lambda row: row["recall_at_20"]["value"] or 0.0, reverse=True)
    plain = [row for row in others[1:] if row["method"] == "popularity"]
    chosen = [rows[0], *others[:1], *plain]
    lengths = [
        name for name, group in rows[0][_BY_HISTORY].items() if group["users"] >= _FEWEST_USERS
    ]
    if len(lengths) < 2:
        return []

    def paint(axes: Axes) -> None:
        for place, (row, colour, marker) in enumerate(zip(chosen, SERIES, MARKERS, strict=False)):
            groups = [row[_BY_HISTORY][name] for name in lengths]
            axes.errorbar(
                [x + 0.12 * (place - 1) for x in range(len(lengths))],
                [group["value"] for group in groups],
                yerr=[_TWO_SIDED_95 * (group.get("se") or 0.0) for group in groups],
                fmt=marker,
                color=colour,
                elinewidth=1.6,
                label=short_label(method_name(row)),
            )
        axes.set_xticks(range(len(lengths)), lengths)
        axes.set_xlabel("items in the history")
        axes.set_ylim(bottom=0)
        plain_ticks(axes, "y")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)

    alt = "; ".join(
        f"{name} items: "
        + ", ".join(f"{method_name(row)} {estimate(row[_BY_HISTORY][name])}" for row in chosen)
        for name in lengths
    )
    return [
        draw(
            "quality-history",
            paint,
            title="Known items by history: Recall@20",
            alt=f"Recall@20 by the number of items in the history: {alt}",
            caption=(
                f"Groups of at least {_FEWEST_USERS} of the {count(warm.get('users'))} users; bars "
                "are 95 % intervals."
            ),
        )
    ]


def _rows(result: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    rows = list(result["methods"])
    if isinstance(result.get("random"), Mapping):
        rows.append({"method": "random", **result["random"]})
    return rows
