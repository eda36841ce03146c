"""What the machine adds to the figures: its peak, its noise, its copies to and from a card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower_benchmarks.numerals import NBSP, count, duration, moment, number, percent
from dualtower_benchmarks.report.hardware import hardware
from dualtower_benchmarks.report.scenario.differences import compared, within_noise
from dualtower_benchmarks.report.scenario.inputs import Inputs, Run
from dualtower_benchmarks.roofline.peaks import best_of
from dualtower_benchmarks.schema.read import git_commits_of

__all__ = ["copies", "noise", "roofline", "what", "where"]

Row = Mapping[str, Any]
_MEASURES = (("p50_ms", "p50"), ("p99_ms", "p99"), ("rows_per_s", "rows a second"))
_NAMED = 3


def noise(inputs: Inputs) -> str:
    """How far two runs of the same lie apart, and what that hides; "" without repeats."""
    texts = [text for run in inputs.runs if (text := _noise_of(run))][:2]
    return f"In 95 of 100 cases two runs of the same differ {'; '.join(texts)}." if texts else ""


def _noise_of(run: Run) -> str:
    pooled = (run.document.get("noise") or {}).get("pooled") or {}
    known = [(name, found) for measure, name in _MEASURES if (found := pooled.get(measure))]
    if not known:
        return ""
    parts = [f"{number(100 * (found['two_runs'] - 1))}{NBSP}% in {name}" for name, found in known]
    pairs = max(found["pairs"] for _, found in known)
    text = f"by up to {', '.join(parts)} ({count(pairs)} pairs of repeats)"
    text += f" in {run.among}" if run.among else ""
    hidden = [within_noise(run, *pair) for pair in compared(run)]
    if hidden:
        text += f", which hides {sum(hidden)} of {len(hidden)} differences under equal load"
    return text


def roofline(inputs: Inputs) -> str:
    """The share of the machine's peak that each model reached; "" where nothing was counted."""
    for other in inputs.of("roofline"):
        rows = [row for row in other.document["points"] if row.get("share_of_peak")]
        best = best_of(other.found, precision="float32") if other.found else None
        if not rows or best is None:
            continue
        run = next((run for run in inputs.runs if run.document is other.document), None)
        nearest: dict[str, Row] = {}
        for row in rows:
            name = run.labels(row) if run else str(row["model"]).replace("_", " ")
            if name not in nearest or row["share_of_peak"] > nearest[name]["share_of_peak"]:
                nearest[name] = row
        shown = sorted(nearest.items(), key=lambda one: -one[1]["share_of_peak"])[:_NAMED]
        texts = [
            f"{name} {percent(row['share_of_peak'])} (batch {row['batch_rows']}"
            + (f", n{NBSP}={NBSP}{count(row['n'])})" if row.get("n") else ")")
            for name, row in shown
        ]
        return (
            f"Of the machine's peak ({number(best[0])} GFLOP/s in float32, the median of "
            f"{other.found['turns']} turns) the nearest came to: {'; '.join(texts)}; on "
            f"{hardware(other.document)}."
        )
    return ""


def where(inputs: Inputs) -> str:
    """On what, how long and by which code the first run was measured."""
    if not inputs.runs:
        return _where_else(inputs)
    run, more = inputs.runs[0], len(inputs.runs) - 1
    settings, versions = run.document["scenario"]["settings"], run.document["machine"]
    tensorflow = versions["package_versions"].get("tensorflow")
    parts = [
        f"TensorFlow {tensorflow}" if tensorflow else "",
        f"repeats {settings['repeats']}",
        f"seed {settings['seed']}",
        f"commit {', '.join(one[:12] for one in git_commits_of(run.document))}",
    ]
    return (
        f"{run.results.name} took {duration(run.document['wall_s'])} on {run.hardware} "
        f"({', '.join(part for part in parts if part)})"
        f"{f', and {more} more results are on this page' if more else ''}."
    )


def _where_else(inputs: Inputs) -> str:
    """Of files that are no results of `bench run`."""
    names = list(dict.fromkeys(other.name for other in inputs.others))
    if not names:
        return ""
    document = inputs.others[0].document
    created = f" on {moment(str(document['created']))}" if "created" in document else ""
    were = "were" if len(names) > 1 else "was"
    return f"{', '.join(names)} {were} measured{created} on {hardware(document)}."


def what(inputs: Inputs) -> str:
    """Memory, system and Python of the first machine; "" where no file has them."""
    documents = inputs.documents
    machine = documents[0]["machine"] if documents else {}
    memory = machine.get("memory_total_bytes")
    parts = [
        f"{number(memory / 2**30)} GiB of memory" if memory else "",
        str(machine.get("system") or ""),
        f"Python {machine['python_version']}" if "python_version" in machine else "",
        *(f"{name} {one}" for name, one in (machine.get("package_versions") or {}).items() if one),
    ]
    said = ", ".join(part for part in parts if part)
    return f"The machine: {hardware(documents[0])}; {said}." if said else ""


def copies(inputs: Inputs) -> str:
    """How much of a call goes into copies between host and card; "" without a card."""
    texts = [
        f"{percent(one['copies_share'])} at batch {one['batch_rows']} "
        f"(n{NBSP}={NBSP}{count(one['calls'])})"
        for run in inputs.runs
        for one in run.document.get("copies") or []
        if one.get("copies_share") is not None
    ]
    return f"Of a call's time copies to and from the card took {'; '.join(texts)}." if texts else ""
