"""Outcomes as text for people and as JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dualtower_serving.rollout.session import Outcome
from dualtower_serving.rollout.shadow.report import Report

__all__ = ["as_json", "of_outcome", "of_overview", "of_report"]


def of_outcome(outcome: Outcome) -> str:
    """What was done, and where the labels lead now."""
    state = outcome.state
    labels = ", ".join(f"{label} {version}" for label, version in sorted(state.labels.items()))
    loaded = ", ".join(map(str, state.loaded))
    lines = [f"{outcome.step}: {outcome.said}"]
    if loaded:
        lines.append(f"loaded {loaded}; labels {labels or 'none'}")
    return "\n".join(lines)


def as_json(outcome: Outcome, *, dry_run: bool) -> str:
    """The outcome with the whole state."""
    state = outcome.state
    return json.dumps(
        {
            "step": outcome.step,
            "said": outcome.said,
            "changed": outcome.changed,
            "dry_run": dry_run,
            **outcome.facts,
            "loaded": list(state.loaded),
            "labels": dict(state.labels),
            "pairs": {str(version): name for version, name in state.pairs.items()},
            "rollback_leads_to": state.previous,
            "servers": list(state.servers),
        },
        indent=2,
    )


def of_report(report: Report) -> str:
    """A table: the figures, their limits, what failed."""
    sides = [_side("old", report.old), _side("new", report.new)]
    rows = [
        (
            one.name,
            "none" if one.value is None else f"{one.value:.4g}",
            one.rule,
            "FAILED" if one.failed else "",
        )
        for one in report.figures
    ]
    head = ("", "version", "answers", "p50 ms", "p95 ms", "p99 ms", "errors")
    return "\n".join([
        f"{report.requests} requests, in turn",
        *_columns([head, *sides]),
        "",
        *_columns(rows),
    ])  # fmt: skip


def of_overview(found: Mapping[str, Any]) -> str:
    """The pairs, one a line, and what is not as it should be."""
    rows = [("version", "fingerprint", "files", "loaded", "labels")]
    rows += [
        (
            str(pair["version"]),
            pair["fingerprint"][:12],
            {True: "whole", False: "missing", None: "?"}[pair["on_disk"]],
            "yes" if pair["loaded"] else "",
            ", ".join(pair["labels"]),
        )
        for pair in found["pairs"]
    ]
    lines = [f"target   {found['target']}", f"servers  {', '.join(found['servers']) or 'none yet'}"]
    lines += ["", *_columns(rows)] if found["pairs"] else ["", "no pair is here yet"]
    if found["rollback_leads_to"]:
        lines.append(f"rollback leads to version {found['rollback_leads_to']}")
    if found["last"]:
        lines.append(f"last: {found['last']}")
    if left := found["unfinished"]:
        lines.append(
            f"UNFINISHED: {left['step']} of {left['at']} by {left['by']}; run it again, it goes on"
        )
    lines += [f"NOT IN LINE: {one}: {'; '.join(said)}" for one, said in found["trouble"].items()]
    return "\n".join(lines)


def _side(name: str, facts: Mapping[str, Any]) -> Sequence[str]:
    errors = ", ".join(f"{kind} {count}" for kind, count in facts["errors"].items())
    figures = [facts[key] for key in ("p50_ms", "p95_ms", "p99_ms")]
    return (
        name,
        str(facts["version"]),
        str(facts["answers"]),
        *("none" if one is None else f"{one:.2f}" for one in figures),
        errors or "none",
    )


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
