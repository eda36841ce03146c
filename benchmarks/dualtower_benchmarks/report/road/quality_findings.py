"""The sentences on quality: known items, new ones, and the price of even exposure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dualtower_benchmarks.numerals import (
    count,
    estimate,
    is_estimate,
    number,
    percent,
    with_error,
)
from dualtower_benchmarks.report.road.quality_figure import OURS, method_name

__all__ = ["quality_findings"]

Row = Mapping[str, Any]
_METRIC = "recall_at_20"


def quality_findings(evaluation: Mapping[str, Any]) -> list[str]:
    """What the content of evaluation.json allows to be said."""
    sentences = (_warm, _cold, _exposure)
    return [text for sentence in sentences if (text := sentence(evaluation))]


def _warm(evaluation: Mapping[str, Any]) -> str | None:
    result = evaluation.get("warm")
    rows = _rows(result)
    if result is None or OURS not in rows:
        return None
    text = (
        f"For {count(result.get('users'))} users of the held-out future and "
        f"{count(result.get('candidates'))} known items, Recall@20 of {OURS} is "
        f"{estimate(rows[OURS][_METRIC])} (one standard error)"
    )
    others = [row for name, row in rows.items() if name != OURS and "variant_of" not in row]
    if not others:
        return text + "."
    listed = ", ".join(f"{method_name(row)} {with_error(row[_METRIC])[0]}" for row in others)
    highest = max(others, key=lambda row: row[_METRIC]["value"])
    return f"{text}; {listed}. {_difference(rows[OURS], highest)}"


def _difference(ours: Row, theirs: Row) -> str:
    """By how much, and how many standard errors: of the paired difference where it is known."""
    name = method_name(theirs)
    paired = theirs.get("reference_minus_this_recall_at_20")
    if paired is not None and is_estimate(paired):
        gap, error, kind = paired["value"], paired.get("se"), "of the paired difference"
    else:
        gap = ours[_METRIC]["value"] - theirs[_METRIC]["value"]
        error = math.hypot(ours[_METRIC].get("se") or 0.0, theirs[_METRIC].get("se") or 0.0)
        kind = "of two independent means"
    where = "above" if gap > 0 else "below"
    size = with_error({"value": abs(gap), "se": error})[0]
    text = f"It lies {size} {where} {name}, the highest of the others"
    return f"{text}: {number(abs(gap) / error, 2)} standard errors {kind}." if error else f"{text}."


def _cold(evaluation: Mapping[str, Any]) -> str | None:
    result = evaluation.get("cold_in_full")
    rows = _rows(result)
    if result is None or OURS not in rows:
        return None
    text = (
        f"Items without a purchase in training, ranked among all {count(result.get('candidates'))} "
        f"items, have a Recall@20 of {estimate(rows[OURS][_METRIC])}"
    )
    random = result.get("random") or {}
    if is_estimate(random.get(_METRIC)):
        text += f", at random {number(random[_METRIC]['value'], 2)}"
    if (part := rows[OURS].get("cold_share_of_lists")) is not None:
        text += f"; they fill {percent(part)} of the lists"
    alone = _rows(evaluation.get("cold"))
    if OURS in alone:
        text += f". Ranked among themselves they have {estimate(alone[OURS][_METRIC])}"
    return text + "."


def _exposure(evaluation: Mapping[str, Any]) -> str | None:
    """What the towers' own lists lose when they are reordered; no rival, so a price alone."""
    rows = _rows(evaluation.get("warm"))
    fair = next((row for row in rows.values() if row.get("variant_of") == OURS), None)
    if OURS not in rows or fair is None:
        return None
    cost = fair.get("reference_minus_this_recall_at_20")
    if not is_estimate(cost):
        return None
    before, after = (number(row.get("gini_at_20")) for row in (rows[OURS], fair))
    return (
        f"Reordered for an even exposure ({method_name(fair)}), the lists of known items lose "
        f"{estimate(cost)} of their Recall@20 (paired), and the Gini coefficient of what they show "
        f"goes from {before} to {after}."
    )


def _rows(result: Any) -> dict[str, Row]:
    rows = result.get("methods", []) if isinstance(result, Mapping) else []
    return {row["method"]: row for row in rows if is_estimate(row.get(_METRIC))}
