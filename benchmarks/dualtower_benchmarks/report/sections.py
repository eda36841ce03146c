"""The page in its order: each section holds panels and tables, or says what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dualtower_benchmarks.numerals import share
from dualtower_benchmarks.report import tables
from dualtower_benchmarks.report.edge_figure import edge_latency_panels
from dualtower_benchmarks.report.index_figure import index_panels
from dualtower_benchmarks.report.inputs import Inputs
from dualtower_benchmarks.report.quality_figure import quality_panels
from dualtower_benchmarks.report.quality_tables import quality_tables
from dualtower_benchmarks.report.server_figure import server_panels
from dualtower_benchmarks.report.svg import Panel
from dualtower_benchmarks.report.tables import Table
from dualtower_benchmarks.report.training_figure import training_panels
from dualtower_benchmarks.report.variants_figure import variant_panels

__all__ = ["Section", "sections_of"]

_CHOSEN_BY = {
    "validation_recall_at_20": "known items",
    "validation_cold_recall_at_20": "new items",
}


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Args:
        key: its anchor.
        note: how to read it.
        missing: why it holds nothing, "" where it does.
        commands: lines to copy.
        folded: tables that stay closed until asked for.
    """

    key: str
    title: str
    note: str = ""
    missing: str = ""
    panels: Sequence[Panel] = ()
    tables: Sequence[Table] = ()
    folded: Sequence[Table] = ()
    commands: Sequence[str] = ()


def sections_of(inputs: Inputs) -> list[Section]:
    """All sections, also those without content."""
    return [
        _quality(inputs),
        _edge(inputs),
        _server(inputs),
        _devices(inputs),
        *([_index(inputs.topk)] if inputs.topk is not None else []),
        _gates(inputs),
        _training(inputs),
        _data(inputs),
        _machine(inputs),
        _reproduce(inputs),
    ]


def _quality(inputs: Inputs) -> Section:
    key, title = "quality", "Ranking quality"
    if inputs.evaluation is None:
        return Section(key, title, missing=inputs.absent["evaluation"])
    return Section(
        key,
        title,
        note=(
            f"Users of {'a later log' if 'later_log' in inputs.evaluation else 'the test period'}, "
            f"{'chosen items' if 'candidates' in inputs.evaluation else 'the full catalogue'} as "
            "candidates, the history removed. Recall@k is hits over min(k, targets). New items are "
            "in no training data and in no history."
        ),
        panels=quality_panels(inputs.evaluation),
        tables=quality_tables(inputs.evaluation),
    )


def _edge(inputs: Inputs) -> Section:
    key, title = "edge", "Files for a phone"
    variants = (inputs.bundle or {}).get("variants") or []
    reasons = []
    if inputs.bundle is None:
        reasons.append(inputs.absent["bundle"])
    elif not variants:
        reasons.append("the bundle has no TFLite files")
    if (without := _without_part(inputs, "edge")) is not None:
        reasons.append(f"no speeds: {without}")
    bench = inputs.bench if without is None else None
    return Section(
        key,
        title,
        note=(
            "TFLite files run by LiteRT on the machine below, not on a phone. One call sets the "
            "inputs, invokes, and reads the output; the text is tokenised before."
        ),
        missing="; ".join(reasons),
        panels=[*variant_panels(variants), *(edge_latency_panels(bench) if bench else [])],
        tables=[tables.variants_table(variants, bench["points"] if bench else [])]
        if variants
        else [],
        folded=[tables.points_table(bench, "edge")] if bench else [],
    )


def _server(inputs: Inputs) -> Section:
    key, title = "server", "Server: latency and throughput"
    if (without := _without_part(inputs, "server")) is not None:
        return Section(key, title, missing=without)
    bench = inputs.bench
    assert bench is not None
    return Section(
        key,
        title,
        note=(
            f"Engine: {_engine(bench)}. A closed loop sends the next request when the "
            "last was answered: it finds the capacity and hides stalls. An open loop sends by a "
            "schedule and counts latency from it: that is what users wait for. Load comes from a "
            "process of its own on the same machine, so both share its cores. Intervals take "
            "requests as independent; under load they are not, and the true ones are wider."
        ),
        panels=server_panels(bench),
        tables=[tables.points_table(bench, "server")],
    )


def _engine(bench: Mapping[str, Any]) -> str:
    return str(bench["server"]["engine"] or "not known, an address was given")


def _devices(inputs: Inputs) -> Section:
    key, title = "devices", "CPU and GPU"
    if (without := _without_part(inputs, "in_process")) is not None:
        return Section(key, title, missing=without)
    assert inputs.bench is not None
    return Section(
        key,
        title,
        note=(
            "The item tower's SavedModel without a server, text in, vector out in host memory. "
            "It is the reference of every ratio on this page."
        ),
        tables=[tables.in_process_table(inputs.bench)],
        folded=[tables.points_table(inputs.bench, "in_process")],
    )


def _index(topk: Mapping[str, Any]) -> Section:
    versions = ", ".join(f"{side}: {version}" for side, version in topk["engines"].items())
    return Section(
        "index",
        "Search in a large catalogue",
        note=(
            "A made-up catalogue, searched by the recommender's graph in this process and by faiss "
            f"beside it. {versions}. Ours also leaves out five items a user, and answers with ids."
        ),
        panels=index_panels(topk),
    )


def _without_part(inputs: Inputs, part: str) -> str | None:
    """Why this part of the measurements is missing; None where it is there."""
    if inputs.bench is None:
        return inputs.absent["bench"]
    reason: str | None = inputs.bench[part].get("absent")
    return reason


def _gates(inputs: Inputs) -> Section:
    key, title = "gates", "Gates"
    if inputs.bundle is None:
        return Section(key, title, missing=inputs.absent["bundle"])
    gates = inputs.bundle.get("gates") or []
    if not gates:
        return Section(key, title, missing="the bundle records no gates")
    table = tables.gates_table(gates)
    if table.marked:  # what failed is looked for, what passed need not be
        return Section(key, title, tables=[table])
    return Section(key, title, note=f"All {len(gates)} passed.", folded=[table])


def _training(inputs: Inputs) -> Section:
    key, title = "training", "Training"
    if inputs.training is None:
        return Section(key, title, missing=inputs.absent["training"])
    return Section(
        key,
        title,
        note=_how_trained(inputs.training),
        panels=training_panels(inputs.training),
        missing="" if inputs.training.get("history") else "the run records no history",
    )


def _how_trained(training: Mapping[str, Any]) -> str:
    notes = []
    if kept := training.get("kept"):
        numbers = ""
        for metric, of in _CHOSEN_BY.items():
            start, chosen = ((training.get(name) or {}).get(metric) for name in ("start", "chosen"))
            if start is not None and chosen is not None:
                numbers += "; " if numbers else ": "
                numbers += f"Recall@20 of {of} {share(chosen)}, at the start {share(start)}"
        notes.append(
            f"Kept on validation: {kept}{numbers}. The towers were then fitted once more on all "
            "that is not test."
        )
    if stopped := training.get("stopped"):
        notes.append(f"Contrastive training ended because: {stopped}.")
    return " ".join(notes)


def _data(inputs: Inputs) -> Section:
    key, title = "data", "Data, and what was dropped"
    if inputs.data_report is None:
        return Section(key, title, missing=inputs.absent["data_report"])
    return Section(
        key,
        title,
        note="Counts of the time split; every row that was not used is counted under its reason.",
        tables=tables.facts_tables(inputs.data_report, "the log"),
    )


def _machine(inputs: Inputs) -> Section:
    key, title = "machine", "Machine"
    if inputs.bench is None:
        return Section(key, title, missing=inputs.absent["bench"])
    return Section(key, title, tables=[tables.machine_table(inputs.bench["machine"])])


def _reproduce(inputs: Inputs) -> Section:
    documents: list[Mapping[str, Any] | None] = [
        inputs.training,
        inputs.evaluation,
        inputs.bundle,
        inputs.bench,
    ]
    commands = [str(one["command"]) for one in documents if one and one.get("command")]
    folded = []
    if inputs.bundle is not None and isinstance(inputs.bundle.get("versions"), Mapping):
        folded += tables.facts_tables(inputs.bundle["versions"], "versions at the export")
    if inputs.bench is not None:
        folded += tables.facts_tables(inputs.bench["config"], "settings of the measurements")
    seed = f" Seed of the measurements: {inputs.bench['seed']}." if inputs.bench else ""
    return Section(
        "reproduce",
        "How to reproduce",
        note=f"The commands that made what this page shows.{seed}" if commands else "",
        missing="" if commands else "no command was recorded",
        commands=commands,
        folded=folded,
    )
