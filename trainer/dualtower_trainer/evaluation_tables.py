"""evaluation.json as tables on the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dualtower.tables import Table
from dualtower_trainer.history_lengths import BUCKETS

__all__ = ["FAIR", "OURS", "evaluation_tables"]

OURS = "dualtower"
FAIR = "dualtower_fair"  # the same, reordered for exposure: a variant, nothing to beat

_QUALITY = (
    ("Recall@10", "recall_at_10"),
    ("Recall@20", "recall_at_20"),
    ("NDCG@10", "ndcg_at_10"),
    ("NDCG@20", "ndcg_at_20"),
    ("MRR", "mrr"),
)
_SCOPES = {
    "warm": "Warm: the next known items",
    "cold": "Cold: items nobody has taken yet, among themselves",
    "cold_in_full": "Cold in full: the same items among the whole catalogue",
}
_LISTS = {"warm": "Warm lists of 20", "cold_in_full": "Cold in full, lists of 20"}
_GAINS = (("Δ Recall@20", "recall_at_20"), ("Δ NDCG@20", "ndcg_at_20"))


def evaluation_tables(result: Mapping[str, Any]) -> list[Table]:
    """Quality for every question; recall by history length; whom the lists show; what even
    exposure costs.

    Args:
        result: evaluation.json, or `seeds` of several runs.
    """
    shown = {scope: title for scope, title in _SCOPES.items() if result[scope]["methods"]}
    tables = [_quality(scope, title, result[scope]) for scope, title in shown.items()]
    if "warm" in shown:
        tables.append(_by_history(result["warm"]))
    tables += [_lists(scope, result[scope]) for scope in _LISTS if scope in shown]
    tables += _exposure(shown, result)
    notes = result.get("notes") or {}
    if notes:
        tables.append(Table("Chosen and left out", [[name, text] for name, text in notes.items()]))
    return tables


def _quality(scope: str, title: str, part: Mapping[str, Any]) -> Table:
    warm = scope == "warm"
    named = any("stands_for" in row for row in part["methods"])
    header = ["", *(["stands for"] if named else []), *(name for name, _ in _QUALITY)]
    header += ["head", "tail"] if warm else ["cold share of lists"]
    for name, _ in _GAINS:
        header += [f"{name} of dualtower", "95 %", "p"]
    rows = []
    for row in part["methods"]:
        cells = [_title(row), *([row.get("stands_for", "")] if named else [])]
        cells += [_estimate(row[key]) for _, key in _QUALITY]
        if warm:
            cells += [_estimate(row["recall_at_20_head"]), _estimate(row["recall_at_20_tail"])]
        else:
            cells.append(f"{row['cold_share_of_lists']:.1%}")
        for _, key in _GAINS:
            rival = "variant_of" not in row
            cells += _gain(row.get(f"reference_minus_this_{key}") if rival else None)
        rows.append(cells)
    if "random" in part:
        chance = _estimate(part["random"]["recall_at_20"])
        cells = ["random", *([""] if named else []), "", chance]
        rows.append(cells + [""] * (len(header) - len(cells)))
    return Table(f"{title} ({_counted(part)})", rows, header)


def _by_history(part: Mapping[str, Any]) -> Table:
    groups = part["methods"][0]["recall_at_20_by_history"]
    held = [name for name in BUCKETS if groups[name]["users"]]
    rows = [["users", *(f"{groups[name]['users']:,}" for name in held)]]
    rows += [
        [_title(row), *(_estimate(row["recall_at_20_by_history"][name]) for name in held)]
        for row in part["methods"]
    ]
    return Table("Warm Recall@20 by items in the history", rows, ["", *held])


def _lists(scope: str, part: Mapping[str, Any]) -> Table:
    calibrated = any("calibration_kl" in row for row in part["methods"])
    unseen = scope != "warm"  # there no unseen item is a candidate
    header = ["", "coverage", "Gini", "head share"]
    header += ["cold share"] if unseen else []
    header += ["calibration KL"] if calibrated else []
    rows = []
    for row in part["methods"]:
        cells = [_title(row), f"{row['coverage_at_20']:.1%}", _plain(row["gini_at_20"])]
        cells.append(f"{row['head_share_of_lists']:.1%}")
        if unseen:
            cells.append(f"{row['cold_share_of_lists']:.1%}")
        if calibrated:
            cells.append(_estimate(row.get("calibration_kl")))
        rows.append(cells)
    return Table(f"{_LISTS[scope]}: whom they show", rows, header)


def _exposure(shown: Mapping[str, str], result: Mapping[str, Any]) -> list[Table]:
    """What even exposure costs the towers and what it buys, where it was asked for."""
    rows = []
    for scope, title in shown.items():
        of = {row["method"]: row for row in result[scope]["methods"]}
        if OURS not in of or FAIR not in of:
            continue
        plain, fair = of[OURS], of[FAIR]
        cost = fair["reference_minus_this_recall_at_20"]
        value, interval, _ = _gain(cost)
        gini, covered = (
            f"{_plain(plain[key])} → {_plain(fair[key])}"
            for key in ("gini_at_20", "coverage_at_20")
        )
        rows.append([title.partition(":")[0], value, interval, gini, covered])
    header = ["", "lost Recall@20", "95 %", "Gini", "coverage"]
    return (
        [Table("Exposure-aware lists: what they cost and what they buy", rows, header)]
        if rows
        else []
    )


def _title(row: Mapping[str, Any]) -> str:
    return str(row.get("title", row["method"]))


def _counted(part: Mapping[str, Any]) -> str:
    return f"{part['users']:,} users, {part['candidates']:,} candidates"


def _gain(gain: Mapping[str, Any] | None) -> Sequence[str]:
    if gain is None:
        return ["", "", ""]
    if gain["value"] is None or gain["low"] is None:
        return ["–", "", ""]
    p = "<.001" if gain["p"] < 0.001 else _point(f"{gain['p']:.3f}")
    low, high = (_point(f"{gain[end]:+.4f}") for end in ("low", "high"))
    return [_point(f"{gain['value']:+.4f}"), f"{low} … {high}", p]


def _estimate(estimate: Mapping[str, Any] | None) -> str:
    if estimate is None or estimate["value"] is None:
        return "–"
    error = "" if estimate["se"] is None else f" ±{estimate['se']:.4f}"
    return _point(f"{estimate['value']:.4f}{error}")


def _plain(value: float | None) -> str:
    return "–" if value is None else _point(f"{value:.3f}")


def _point(text: str) -> str:
    """Without the zero before the point: .1310 ±.0045."""
    for sign in ("", "+", "-", "±"):
        text = text.replace(f" {sign}0.", f" {sign}.")
    for sign in ("", "+", "-"):
        if text.startswith(f"{sign}0."):
            text = f"{sign}.{text[len(sign) + 2 :]}"
    return text
