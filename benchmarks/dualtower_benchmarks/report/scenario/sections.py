"""The page in its order. A section that has nothing to show says what would fill it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dualtower_benchmarks.devices.against import crossover_text
from dualtower_benchmarks.report.hardware import hardware
from dualtower_benchmarks.report.scenario.copies import copies_table
from dualtower_benchmarks.report.scenario.devices import (
    device_panels,
    devices_table,
    energy_table,
)
from dualtower_benchmarks.report.scenario.differences import differences_table
from dualtower_benchmarks.report.scenario.distribution_figure import distribution_panels
from dualtower_benchmarks.report.scenario.events import events_section
from dualtower_benchmarks.report.scenario.index import index_section
from dualtower_benchmarks.report.scenario.inputs import Inputs, Run
from dualtower_benchmarks.report.scenario.limits_section import limits_section
from dualtower_benchmarks.report.scenario.load_figure import closed_panels, open_panels
from dualtower_benchmarks.report.scenario.loadgen import accuracy_table, loadgen_table
from dualtower_benchmarks.report.scenario.loadgen_figure import loadgen_panels
from dualtower_benchmarks.report.scenario.noise_figure import noise_panels, noise_words
from dualtower_benchmarks.report.scenario.others import tables_of
from dualtower_benchmarks.report.scenario.pace_figure import pace_panels
from dualtower_benchmarks.report.scenario.ranges_figure import range_panels
from dualtower_benchmarks.report.scenario.roofline_figure import roofline_panel
from dualtower_benchmarks.report.scenario.roofline_table import roofline_table
from dualtower_benchmarks.report.scenario.spoilt_figure import is_spoilt, spoilt_panels
from dualtower_benchmarks.report.scenario.tables import (
    absent_table,
    cases_table,
    files_table,
    servers_table,
    settings_table,
)
from dualtower_benchmarks.report.scenario.throughput_figure import throughput_panels
from dualtower_benchmarks.report.scenario.timeline_figure import timeline_panels
from dualtower_benchmarks.report.scenario.training import training_section
from dualtower_benchmarks.report.section import Fold, Section
from dualtower_benchmarks.report.svg import Panel
from dualtower_benchmarks.report.tables import Table, machine_table
from dualtower_benchmarks.schema.read import git_commits_of

__all__ = ["sections_of"]

_TIMELINES = 48  # of a page; a case each


def sections_of(
    inputs: Inputs, *, commands: Sequence[str] = (), folded: Sequence[Table] = ()
) -> list[Section]:
    """All sections, also those without content.

    Args:
        commands, folded: what was done before the measurements, for whoever repeats all of it.
    """
    return [
        _open(inputs),
        _closed(inputs),
        _throughput(inputs),
        _distribution(inputs),
        _timeline(inputs),
        _spoilt(inputs),
        _noise(inputs),
        _devices(inputs),
        _roofline(inputs),
        limits_section(inputs),
        events_section(inputs),
        _loadgen(inputs),
        index_section(inputs),
        training_section(inputs),
        _clients(inputs),
        _cases(inputs),
        _machine(inputs),
        _reproduce(inputs, commands, folded),
    ]


def _open(inputs: Inputs) -> Section:
    panels = _drawn(inputs, open_panels)
    return Section(
        "open",
        "Open loops: what users wait for",
        note=(
            "Requests are sent by a schedule, whatever the answers do, and latency counts from the "
            "scheduled instant: a stall makes everybody behind it wait. A rate at which the "
            "generator itself lagged is void."
        ),
        panels=panels,
        missing=""
        if panels
        else "no open loop in these results (a sweep with rate_qps or rate_share)",
    )


def _closed(inputs: Inputs) -> Section:
    panels = [*_drawn(inputs, closed_panels), *_drawn(inputs, range_panels)]
    return Section(
        "closed",
        "Closed loops: latency by number of clients",
        note=(
            "Each client sends its next request when the last was answered. This finds the "
            "capacity, and hides stalls, since the clients stand still with what they ask."
        ),
        panels=panels,
        missing="" if panels else 'no closed loop in these results (a sweep with loop = "closed")',
    )


def _throughput(inputs: Inputs) -> Section:
    panels = _drawn(inputs, throughput_panels)
    return Section(
        "throughput",
        "Throughput by batch and clients",
        panels=panels,
        missing="" if panels else "no subject was measured at two batches or numbers of clients",
    )


def _distribution(inputs: Inputs) -> Section:
    panels = _drawn(inputs, distribution_panels)
    return Section(
        "distribution",
        "Distribution of latency",
        panels=panels,
        missing=""
        if panels
        else "no open loop that is not void"
        if all(run.results.has_requests for run in inputs.runs)
        else "curves are made of every request, and the requests were not kept with these results",
    )


def _timeline(inputs: Inputs) -> Section:
    panels = _drawn(inputs, lambda run: timeline_panels(run, most=_TIMELINES))
    cases = sum(len(run.cases) for run in inputs.runs)
    more = f" The first {len(panels)} of {cases} cases." if len(panels) < cases else ""
    return Section(
        "time",
        "Latency over time",
        note=(
            "What was left out at the head as warm-up is shaded; everything else is in the "
            f"figures.{more}"
        ),
        folds=[Fold(f"{len(panels)} loads over their time", panels)] if panels else [],
        missing="" if panels else "no request was answered",
    )


def _spoilt(inputs: Inputs) -> Section:
    panels = _drawn(inputs, spoilt_panels)
    cases = [case for run in inputs.runs for case in run.cases]
    spoilt = sum(is_spoilt(case) for case in cases)
    note = f"{spoilt} of {len(cases)} cases have a void attempt, a failed or a skipped request."
    if not spoilt:
        note = f"None of {len(cases)} cases has a void attempt, a failed or a skipped request."
    tables = _tables(inputs, absent_table)
    return Section(
        "spoilt", "Void, failed, skipped, absent", note=note if cases else "", panels=panels,
        tables=tables, missing="" if cases or tables else "no sweep of loads in these results",
    )  # fmt: skip


def _noise(inputs: Inputs) -> Section:
    repeats = _drawn(inputs, noise_panels)
    panels = [*repeats, *_drawn(inputs, pace_panels)]
    texts = [words for run in inputs.runs if (words := noise_words(run))]
    if panels and not repeats:
        texts.append("Nothing was measured twice (repeats = 3 in [scenario]).")
    return Section(
        "noise",
        "Noise, and differences beyond it",
        note=" ".join(texts),
        panels=panels,
        tables=_tables(inputs, differences_table),
        missing="" if panels else "one repeat tells nothing of it (repeats = 3 in [scenario])",
    )


def _devices(inputs: Inputs) -> Section:
    tables = [*_tables(inputs, devices_table), *_tables(inputs, copies_table)]
    return Section(
        "devices",
        "GPU against CPU",
        note=" ".join(dict.fromkeys(crossover_text(run.document) for run in inputs.runs)),
        panels=_drawn(inputs, device_panels),
        tables=tables,
        folded=_tables(inputs, energy_table),
        missing="" if tables else "no closed loop of a model in process in these results",
    )


def _roofline(inputs: Inputs) -> Section:
    panels: list[Panel] = []
    tables: list[Table] = []
    for place, other in enumerate(inputs.of("roofline")):
        panel = roofline_panel(other.document, name=f"roofline-{place}")
        panels += [panel] if panel else []
        run = next((run for run in inputs.runs if run.document is other.document), None)
        points: dict[str, list[Mapping[str, Any]]] = {}
        for row in other.document["points"]:
            points.setdefault(run.labels(row) if run else str(row["model"]), []).append(row)
        table = roofline_table(points, hardware(other.document))
        tables += [table] if table else []
    return Section(
        "roofline",
        "Roofline",
        panels=panels,
        folded=tables,
        missing=""
        if panels or tables
        else "operations were not counted (`dualtower bench "
        "roofline BUNDLE --results FILE` adds them to a results file)",
    )


def _loadgen(inputs: Inputs) -> Section:
    panels: list[Panel] = []
    tables: list[Table] = []
    for place, one in enumerate(inputs.of("mlperf")):
        where = hardware(one.document)
        panels += loadgen_panels(one.found, where, name=f"loadgen-{place}")
        found = (loadgen_table(one.found, where), accuracy_table(one.found, where))
        tables += [table for table in found if table is not None]
    return Section(
        "loadgen",
        "MLPerf LoadGen",
        note=(
            "MLPerf's own generator, with its own verdict; no submission, and not comparable with "
            "one: model, texts, limits and durations are ours."
        )
        if tables
        else "",
        panels=panels,
        tables=tables,
        missing="" if tables else "no run of LoadGen in these results (scenario mlperf)",
    )


def _clients(inputs: Inputs) -> Section:
    tables = [table for one in inputs.of("clients") for table in tables_of(one)]
    return Section(
        "clients",
        "The client beside the official way",
        note="Each span goes from the smallest to the largest turn." if tables else "",
        folded=tables,
        missing=""
        if tables
        else "no measurements of the client in these results (scenario "
        "clients, or `dualtower bench clients`)",
    )


def _cases(inputs: Inputs) -> Section:
    folded = _tables(inputs, cases_table)
    return Section(
        "cases",
        "All cases",
        folded=folded,
        missing="" if folded else "no sweep of loads in these results",
    )


def _machine(inputs: Inputs) -> Section:
    several = [files_table(inputs)] if len(inputs.named) > 1 else []
    return Section(
        "machine",
        "Machine",
        note="; ".join(dict.fromkeys(hardware(one) for one in inputs.documents)) + ".",
        tables=several,
        folded=[
            _named(machine_table(document["machine"]), name if len(inputs.named) > 1 else "")
            for name, document in inputs.named
        ],
    )


def _reproduce(inputs: Inputs, before: Sequence[str], versions: Sequence[Table]) -> Section:
    commands = [*before]
    commands += [str(run.document["command"]) for run in inputs.runs if run.document["command"]]
    seeds = dict.fromkeys(str(run.document["scenario"]["settings"]["seed"]) for run in inputs.runs)
    commits = dict.fromkeys(one for run in inputs.runs for one in git_commits_of(run.document))
    return Section(
        "reproduce",
        "How to reproduce",
        note=f"Seed: {', '.join(seeds)}. Git commit: {', '.join(commits)}." if seeds else "",
        commands=commands,
        missing="" if commands else "no command was recorded",
        folded=[*versions, *_tables(inputs, servers_table), *_tables(inputs, settings_table)],
    )


def _drawn(inputs: Inputs, panels: Callable[[Run], Sequence[Panel]]) -> list[Panel]:
    return [panel for run in inputs.runs for panel in panels(run)]


def _tables(inputs: Inputs, table: Callable[[Run], Table | None]) -> list[Table]:
    """A table a run, with its name where the page has several."""
    found = [(table(run), run.among) for run in inputs.runs]
    return [_named(one, name) for one, name in found if one is not None]


def _named(table: Table, name: str) -> Table:
    return dataclasses.replace(table, caption=f"{name}: {table.caption}") if name else table
