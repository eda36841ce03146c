"""Sections of the road to a bundle: each holds panels and tables, or says what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dualtower_benchmarks.numerals import share
from dualtower_benchmarks.report import tables
from dualtower_benchmarks.report.road.inputs import Road
from dualtower_benchmarks.report.road.quality_figure import quality_panels
from dualtower_benchmarks.report.road.quality_tables import quality_tables
from dualtower_benchmarks.report.road.training_figure import training_panels
from dualtower_benchmarks.report.road.variants_figure import variant_panels
from dualtower_benchmarks.report.scenario.inputs import Run
from dualtower_benchmarks.report.section import Section

__all__ = ["commands_of", "road_sections", "versions_tables"]

_LONGEST = 30  # rows of a table of counts that stays open
_CHOSEN_BY = {
    "validation_recall_at_20": "known items",
    "validation_cold_recall_at_20": "new items",
}


def road_sections(road: Road, runs: Sequence[Run]) -> list[Section]:
    """All sections, also those without content.

    Args:
        runs: measurements, for the speed of the files for a phone.
    """
    return [_quality(road), _edge(road, runs), _gates(road), _training(road), _data(road)]


def commands_of(road: Road) -> list[str]:
    """The command lines that made the run and the bundle, as far as they were recorded."""
    documents = (road.training, road.evaluation, road.bundle)
    return [str(one["command"]) for one in documents if one and one.get("command")]


def versions_tables(road: Road) -> list[tables.Table]:
    """What the export ran with."""
    versions = (road.bundle or {}).get("versions")
    return tables.facts_tables(versions, "versions at the export") if versions else []


def _quality(road: Road) -> Section:
    key, title = "quality", "Ranking quality"
    if road.evaluation is None:
        return Section(key, title, missing=road.absent["evaluation"])
    return Section(
        key,
        title,
        note=(
            f"Users of {'a later log' if 'later_log' in road.evaluation else 'the test period'}, "
            f"{'chosen items' if 'candidates' in road.evaluation else 'the full catalogue'} as "
            "candidates, the history removed. Recall@k is hits over min(k, targets). New items are "
            "in no training data and in no history."
        ),
        panels=quality_panels(road.evaluation),
        tables=quality_tables(road.evaluation),
    )


def _edge(road: Road, runs: Sequence[Run]) -> Section:
    key, title = "edge", "Files for a phone"
    if road.bundle is None:
        return Section(key, title, missing=road.absent["bundle"])
    variants = road.bundle.get("variants") or []
    if not variants:
        return Section(key, title, missing="the bundle has no TFLite files")
    return Section(
        key,
        title,
        note=(
            "TFLite files run by LiteRT on the machine of the export, and of the measurements "
            "below, not on a phone. One call sets the inputs, invokes, and reads the output; the "
            "text is tokenised before."
        ),
        panels=variant_panels(variants),
        tables=[tables.variants_table(variants, _edge_p50_ms(runs))],
    )


def _edge_p50_ms(runs: Sequence[Run]) -> dict[tuple[str, str, int], float]:
    """p50 of one caller by model, variant and threads."""
    return {
        (case["model"], case["variant"], case["threads"] or 1): p50_ms
        for run in runs
        for case in run.of("closed")
        if case["driver"] == "litert" and case["concurrency"] == 1
        if (p50_ms := case.value("p50_ms"))
    }


def _gates(road: Road) -> Section:
    key, title = "gates", "Gates"
    if road.bundle is None:
        return Section(key, title, missing=road.absent["bundle"])
    gates = road.bundle.get("gates") or []
    if not gates:
        return Section(key, title, missing="the bundle records no gates")
    table = tables.gates_table(gates)
    if table.marked:  # what failed is looked for, what passed need not be
        return Section(key, title, tables=[table])
    return Section(key, title, note=f"All {len(gates)} passed.", folded=[table])


def _training(road: Road) -> Section:
    key, title = "training", "Training"
    if road.training is None:
        return Section(key, title, missing=road.absent["training"])
    return Section(
        key,
        title,
        note=_how_trained(road.training),
        panels=training_panels(road.training),
        missing="" if road.training.get("history") else "the run records no history",
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


def _data(road: Road) -> Section:
    key, title = "data", "Data, and what was dropped"
    if road.data_report is None:
        return Section(key, title, missing=road.absent["data_report"])
    found = tables.facts_tables(road.data_report, "the log")
    return Section(
        key,
        title,
        note="Counts of the time split; every row that was not used is counted under its reason.",
        tables=[table for table in found if len(table.rows) <= _LONGEST],
        folded=[table for table in found if len(table.rows) > _LONGEST],
    )
