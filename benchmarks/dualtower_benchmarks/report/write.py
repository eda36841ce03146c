"""Puts the page together: the road to a bundle, and what was measured of it, or one of the two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dualtower.errors import BundleMismatch, UsageError
from dualtower_benchmarks.numerals import moment
from dualtower_benchmarks.report.hardware import load_words, machine_words
from dualtower_benchmarks.report.page import Written, write_page
from dualtower_benchmarks.report.road.findings import road_findings
from dualtower_benchmarks.report.road.inputs import Road, read_road
from dualtower_benchmarks.report.road.sections import (
    commands_of,
    road_sections,
    versions_tables,
)
from dualtower_benchmarks.report.scenario.findings import findings_of
from dualtower_benchmarks.report.scenario.inputs import Inputs, read_inputs
from dualtower_benchmarks.report.scenario.sections import sections_of
from dualtower_benchmarks.report.section import Section

__all__ = ["write_report"]

_MEASURE = "measure the bundle: dualtower bench all BUNDLE"


def write_report(
    results: Sequence[Path] = (), *, run: Path | None = None, bundle: Path | None = None, out: Path
) -> Written:
    """One HTML file of a run, its bundle and their measurements, as far as they are given.

    Args:
        results: files of `dualtower bench`.

    Raises:
        UsageError: nothing to report, or a file is missing, broken or of another schema.
        BundleMismatch: measurements are of another bundle.
    """
    if run is None and bundle is None and not results:
        raise UsageError(
            "a report needs something to report: give results of `dualtower bench`, --run RUN or "
            "--bundle BUNDLE"
        )
    road = None if run is None and bundle is None else read_road(run=run, bundle=bundle)
    inputs = read_inputs(results) if results else None
    if road is not None and inputs is not None:
        _hold_one_bundle(road, inputs)
    return write_page(
        out,
        title=_title(road, inputs),
        facts=_facts(road, inputs),
        findings=[
            *(road_findings(road) if road else []),
            *(findings_of(inputs) if inputs else []),
        ],
        sections=_sections(road, inputs),
    )


def _title(road: Road | None, inputs: Inputs | None) -> str:
    if road is not None or inputs is None:
        return "dualtower report"
    titles = {run.title for run in inputs.runs}
    if len(titles) == 1 and len(inputs.runs) + len(inputs.files) == 1:
        return f"dualtower: {titles.pop()}"
    machines = list(dict.fromkeys(machine_words(one) for one in inputs.documents))
    where = f"on {machines[0]}" if len(machines) == 1 else f"on {len(machines)} machines"
    return f"dualtower benchmarks {where}"


def _sections(road: Road | None, inputs: Inputs | None) -> list[Section]:
    """Quality first; the counts of the data, which are long, and how to repeat it all last."""
    commands = commands_of(road) if road else []
    folded = versions_tables(road) if road else []
    if inputs is not None:
        *measured, reproduce = sections_of(inputs, commands=commands, folded=folded)
    else:
        measured = [
            Section("measured", "Measurements", missing=f"no results given ({_MEASURE})"),
        ]
        reproduce = Section(
            "reproduce",
            "How to reproduce",
            commands=commands,
            folded=folded,
            missing="" if commands else "no command was recorded",
        )
    if road is None:
        return [*measured, reproduce]
    *made, data = road_sections(road, inputs.runs if inputs else [])
    return [*made, *measured, data, reproduce]


def _facts(road: Road | None, inputs: Inputs | None) -> list[tuple[str, str]]:
    """What the page is about, in a line."""
    facts: dict[str, list[str]] = {}
    if road is not None and road.bundle is not None:
        facts["bundle"] = [f"{road.bundle['fingerprint'][:12]} version {road.bundle['version']}"]
        facts["exported"] = [moment(str(road.bundle.get("created", "not recorded")))]
    if inputs is not None:
        documents = inputs.documents
        bundles = [one["bundle"] for one in documents if one.get("bundle")]
        created = [moment(str(one["created"])) for one in documents if "created" in one]
        facts |= {
            "results": [name for name, _ in inputs.named],
            "bundle": [f"{one['fingerprint'][:12]} version {one['version']}" for one in bundles],
            "measured": [" to ".join(dict.fromkeys((min(created), max(created))))]
            if created
            else [],
            "on": [" and ".join(dict.fromkeys(machine_words(one) for one in documents))],
            "load before": [load_words(documents)],
        }
    return [(name, ", ".join(dict.fromkeys(values))) for name, values in facts.items() if values]


def _hold_one_bundle(road: Road, inputs: Inputs) -> None:
    if road.bundle is None:
        return
    for run in inputs.runs:
        found = (run.document["bundle"] or road.bundle)["fingerprint"]
        if found != road.bundle["fingerprint"]:
            raise BundleMismatch(
                expected=str(road.bundle["fingerprint"]),
                found=str(found),
                where=str(run.results.path),
                repair=_MEASURE,
            )
