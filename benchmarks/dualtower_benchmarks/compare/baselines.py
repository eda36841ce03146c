"""Earlier runs of the same thing as A: how far they lie apart is the noise between runs.

Repeats within a run share its hour and its neighbours on the machine; runs of another day do not. A
baseline is taken where machine, bundle, device and engine are A's; its requests are not needed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtower.errors import UsageError
from dualtower_benchmarks.compare.alike import machine_differences, row_reasons
from dualtower_benchmarks.compare.part_rows import measured_figures, part_rows
from dualtower_benchmarks.compare.side import Side
from dualtower_benchmarks.schema import SCHEMA, Results, read_results
from dualtower_benchmarks.schema.measured import measured_of
from dualtower_benchmarks.schema.read import read_document
from dualtower_benchmarks.stats.noise import MEASURES, noise_of

__all__ = ["NO_BASELINES", "Baselines", "read_baselines"]


@dataclass(frozen=True)
class Baselines:
    """What the noise between runs is made of.

    Args:
        results: those that were taken, A not among them.
        left_out: files of a folder that are of the same points and were not, with the reason.
        noise: as `stats.noise` says, a run in the place of a repeat; None without results.
    """

    results: Sequence[Results] = ()
    left_out: Sequence[str] = ()
    noise: Mapping[str, Any] | None = None


NO_BASELINES = Baselines()


def read_baselines(
    paths: Sequence[Path], a: Side, b: Side, *, across: Collection[str] = ()
) -> Baselines:
    """Results files, and all results files of folders; A, B and copies of them are passed over.

    Args:
        across: what may differ from A all the same, of `alike.ACROSS`.

    Raises:
        UsageError: a file that was named cannot be taken, or nothing of what was given can be.
    """
    seen = [_measured(side.results) for side in (a, b)]
    taken: list[Results] = []
    left_out: list[str] = []
    for path, named in _files(paths):
        results = read_results(path, with_raw=False)
        if _measured(results) in seen:
            continue
        seen.append(_measured(results))
        reason = _unlike(a, results, across)
        if reason and named:
            raise UsageError(f"{path} is no baseline of {a.results.path}: {reason}; leave it out")
        if reason:
            left_out.append(f"{path} is no baseline: {reason}")
        else:
            taken.append(results)
    if paths and not taken:
        raise UsageError(
            f"{', '.join(map(str, paths))}: no run there can be a baseline of {a.results.path}"
            f"{'; ' if left_out else ''}{'; '.join(left_out[:3])}; give results of the same "
            "scenario, bundle and machine"
        )
    rows = [row for number, one in enumerate([a.results, *taken]) for row in _rows(a, one, number)]
    return Baselines(taken, left_out, noise_of(rows) if taken else None)


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Each file, and whether it was named itself; of a folder those that are results of a run."""
    for path in paths:
        if not path.is_dir():
            yield path, True
            continue
        for file in sorted([*path.glob("*.json"), *path.glob("*.json.gz")]):
            if read_document(file).get("schema") == SCHEMA:
                yield file, False


def _measured(results: Results) -> list[tuple[Any, ...]]:
    """What no two runs have in common: how many answers in how long, point by point, and
    the figures of parts.
    """
    points = [(row["key"], row["repeat"], row["n"], row["elapsed_s"]) for row in results.points]
    return [*points, *measured_figures(results)]


def _unlike(a: Side, results: Results, across: Collection[str]) -> str:
    """Why the run is not of the same thing as A; "" where it is."""
    document = results.document
    found = machine_differences(a.document["machine"], document["machine"])
    if found and "machine" not in across:
        return f"other machine: {found[0]}"
    prints = [(one["bundle"] or {}).get("fingerprint", "none") for one in (a.document, document)]
    if prints[0] != prints[1] and "bundle" not in across:
        return f"other bundle: {prints[0][:12]} → {prints[1][:12]}"
    alike = _common(a, results) or part_rows(a.results).keys() & part_rows(results).keys()
    return "" if alike else "no point of it was measured in the same way"


def _common(a: Side, results: Results) -> list[Mapping[str, Any]]:
    """Its rows of points that A has, on the same device and engine."""
    return [
        row
        for row in results.points
        if row["key"] in a.rows and not row_reasons(a.rows[row["key"]], row, across=())
    ]


def _rows(a: Side, results: Results, number: int) -> Iterator[dict[str, Any]]:
    """A row a point: the medians of its repeats, as a comparison takes them."""
    for case in measured_of(_common(a, results)):
        if case.rows:
            values = {name: case.value(name) for name in MEASURES}
            yield {
                "key": case["key"],
                "repeat": number,
                "void": None,
                "loop": case["loop"],
                **{
                    name: value if name == "rows_per_s" or value is None else {"value": value}
                    for name, value in values.items()
                },
            }
