"""Tables of ranking quality: every metric, whom the lists show, and how much history it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dualtower_benchmarks.numerals import DASH, count, is_estimate, percent, share, with_error
from dualtower_benchmarks.report.road.quality_figure import OURS, SCOPES, method_name
from dualtower_benchmarks.report.tables import Cell, Table

__all__ = ["history_lengths", "quality_tables"]

_QUALITY = {
    "recall_at_10": "Recall@10",
    "recall_at_20": "Recall@20",
    "ndcg_at_10": "NDCG@10",
    "ndcg_at_20": "NDCG@20",
    "mrr": "MRR",
    "recall_at_20_head": "Recall@20 head",
    "recall_at_20_tail": "Recall@20 tail",
}
_LISTS = {
    "coverage_at_20": "coverage",
    "gini_at_20": "Gini",
    "head_share_of_lists": "head share",
    "cold_share_of_lists": "new items",
    "calibration_kl": "calibration KL",
}
_GAIN = "reference_minus_this_recall_at_20"
_BY_HISTORY = "recall_at_20_by_history"


def quality_tables(evaluation: Mapping[str, Any]) -> list[Table]:
    """Per scope that somebody could be asked in, its metrics and whom its lists show; then known
    items by the length of the history.
    """
    tables = []
    for scope, title in SCOPES.items():
        result = evaluation.get(scope)
        if not result or not result["methods"]:
            continue
        asked = (
            f"n = {count(result.get('users'))} users, {count(result.get('candidates'))} candidates"
        )
        tables.append(_metrics(f"{title}: {asked}, ± one standard error", result))
        if scope != "cold":  # there every list is of new items
            tables.append(_lists(f"{title}: whom the 20 best show", result))
    if (by_history := _by_history(evaluation)) is not None:
        tables.append(by_history)
    return tables


def history_lengths(evaluation: Mapping[str, Any]) -> list[str]:
    """The groups of known-item users by length of the history that hold anybody."""
    methods = (evaluation.get("warm") or {}).get("methods") or []
    groups = methods[0].get(_BY_HISTORY, {}) if methods else {}
    return [name for name, group in groups.items() if group.get("users")]


def _metrics(caption: str, result: Mapping[str, Any]) -> Table:
    rows = list(result["methods"])
    keys = [key for key in _QUALITY if any(row.get(key) for row in rows)]
    named = any(row.get("stands_for") for row in rows)
    compared = any(is_estimate(row.get(_GAIN)) for row in rows)
    head = ["method", *(["stands for"] if named else [])]
    head += ["gain of dualtower, 95 %"] if compared else []
    head += [_QUALITY[key] for key in keys]
    body: list[Sequence[str | Cell]] = []
    chance = result.get("random")
    for row in [*rows, {**chance, "method": "random"}] if isinstance(chance, Mapping) else rows:
        cells: list[str | Cell] = [method_name(row)]
        cells += [str(row.get("stands_for") or "")] if named else []
        cells += [_gain(row)] if compared else []
        body.append([*cells, *(_metric(row.get(key)) for key in keys)])
    return Table(
        caption, head, body, prose=frozenset({"stands for"}), marked=_ours(rows),
        notes=["Gains are in Recall@20, by a paired bootstrap over users."] if compared else [],
    )  # fmt: skip


def _lists(caption: str, result: Mapping[str, Any]) -> Table:
    rows = result["methods"]
    keys = [key for key in _LISTS if any(row.get(key) for row in rows)]
    body = [(method_name(row), *(_part(key, row.get(key)) for key in keys)) for row in rows]
    return Table(caption, ("method", *(_LISTS[key] for key in keys)), body, marked=_ours(rows))


def _by_history(evaluation: Mapping[str, Any]) -> Table | None:
    lengths = history_lengths(evaluation)
    if not lengths:
        return None
    rows = evaluation["warm"]["methods"]
    asked = rows[0][_BY_HISTORY]
    body: list[Sequence[str | Cell]] = [
        ["users", *(count(asked[name]["users"]) for name in lengths)]
    ]
    for row in rows:
        body.append([method_name(row), *(_metric(row[_BY_HISTORY][name]) for name in lengths)])
    marked = frozenset(place + 1 for place in _ours(rows))
    return Table(
        "Known items, Recall@20 by the number of items in the history",
        ("method", *lengths), body, marked=marked,
    )  # fmt: skip


def _ours(rows: Sequence[Mapping[str, Any]]) -> frozenset[int]:
    return frozenset(place for place, row in enumerate(rows) if row["method"] == OURS)


def _metric(value: Any) -> Cell:
    if is_estimate(value):
        text, error = with_error(value)
        return Cell(text, f"±{error}" if error else "")
    return Cell(DASH if isinstance(value, Mapping) else share(value))


def _part(key: str, value: Any) -> str | Cell:
    if value is None or is_estimate(value):
        return _metric(value)
    return share(value) if key == "gini_at_20" else percent(value)


def _gain(row: Mapping[str, Any]) -> str | Cell:
    gain = row.get(_GAIN)
    if gain is None or not is_estimate(gain) or "variant_of" in row:
        return ""
    low, high = gain.get("low"), gain.get("high")
    return Cell(f"{gain['value']:+.4f}", "" if low is None else f"{low:+.4f} to {high:+.4f}")
