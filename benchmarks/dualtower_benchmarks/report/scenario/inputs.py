"""Results files for the page, each read whole with the requests beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtower.errors import UsageError
from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.report.hardware import hardware
from dualtower_benchmarks.report.scenario.others import KINDS, Other, kind_of
from dualtower_benchmarks.schema import Results, read_results
from dualtower_benchmarks.schema.labels import Labels
from dualtower_benchmarks.schema.measured import Measured, measured_of
from dualtower_benchmarks.schema.read import read_document

__all__ = ["Inputs", "Run", "read_inputs"]


@dataclass(frozen=True)
class Run:
    """One results file, ready to be drawn.

    Args:
        raw: requests by the number of their point, the warm-up marked.
        cases: rows by case, in the order of measuring.
        labels: names of subjects that differ within the file.
        mark: unique on the page; it begins the names of the file's panels.
        among: what tells it from further runs of the page, "" where there are none.
    """

    results: Results
    raw: Mapping[int, Samples]
    cases: Sequence[Measured]
    labels: Labels
    mark: str
    among: str = ""

    def says(self, case: Measured) -> str:
        """The case's name, with the run's where the page has several."""
        return self.labels(case) + (f" in {self.among}" if self.among else "")

    @property
    def document(self) -> Mapping[str, Any]:
        return self.results.document

    @property
    def title(self) -> str:
        return str(self.document["scenario"]["settings"]["title"] or self.results.name)

    @property
    def hardware(self) -> str:
        return hardware(self.document)

    @property
    def repeats(self) -> int:
        return int(self.document["scenario"]["settings"]["repeats"])

    @property
    def confidence(self) -> float:
        return float(self.document["scenario"]["settings"]["confidence"])

    def kept(self, row: Mapping[str, Any]) -> Samples:
        """The requests that the row's figures are made of."""
        return self.whole(row).measured

    def whole(self, row: Mapping[str, Any]) -> Samples:
        """The same with the warm-up, where the file has it."""
        return self.raw.get(row["point"], Samples.none())

    def of(self, loop: str) -> list[Measured]:
        """Cases of one loop, those without a valid row among them."""
        return [case for case in self.cases if case["loop"] == loop]


@dataclass(frozen=True)
class Inputs:
    """All that the page is about.

    Args:
        others: of other commands, keys of the runs' files among them.
    """

    runs: Sequence[Run]
    others: Sequence[Other] = ()

    @property
    def files(self) -> list[Other]:
        """Those of the others that are a file of their own."""
        known = [run.document for run in self.runs]
        return [one for one in self.others if not any(one.document is each for each in known)]

    @property
    def named(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Each file's name and what it holds, in the order of the page."""
        runs = [(run.among or run.results.name, run.document) for run in self.runs]
        return [*runs, *((one.name, one.document) for one in self.files)]

    @property
    def documents(self) -> list[Mapping[str, Any]]:
        return [document for _, document in self.named]

    def of(self, *kinds: str) -> list[Other]:
        return [one for one in self.others if one.kind in kinds]


def read_inputs(paths: Sequence[Path]) -> Inputs:
    """Reads what was given.

    Raises:
        UsageError: nothing was given, a file twice, or one that is missing, broken or of another
            schema.
    """
    if not paths:
        raise UsageError(
            "a report of scenarios needs results: give the file that `dualtower bench run SCENARIO "
            "BUNDLE --out FILE` wrote"
        )
    doubles = [path for place, path in enumerate(paths) if path in paths[:place]]
    if doubles:
        raise UsageError(f"{doubles[0]} is given twice; give each results file once")
    runs: list[Run] = []
    others: list[Other] = []
    for path in paths:
        document = read_document(path)
        if "schema" in document or "scenario" in document:
            run = _run(path, f"r{len(runs)}")
            runs.append(run)
            keys = [kind for kind in KINDS if run.document.get(kind)]
            others += [Other(k, run.document[k], run.document, run.results.name) for k in keys]
        else:
            others.append(kind_of(path, document))
    if len(runs) > 1:
        names = [run.results.name for run in runs]
        runs = [
            dataclasses.replace(
                run, among=name if names.count(name) == 1 else run.results.path.stem
            )
            for run, name in zip(runs, names, strict=True)
        ]
    return Inputs(runs, others)


def _run(path: Path, mark: str) -> Run:
    results = read_results(path)
    rows = results.points
    return Run(
        results=results,
        raw=results.raw(),
        cases=measured_of(rows),
        labels=Labels([*rows, *results.document["absent"]]),
        mark=mark,
    )
