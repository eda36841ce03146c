"""The parts of a results file beside its points, by what two files can share: all rows of a key."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dualtower_benchmarks.scenario.figures import Figure, PartRow
from dualtower_benchmarks.scenario.parts import PARTS
from dualtower_benchmarks.schema import Results

__all__ = ["PartRows", "measured_figures", "part_rows"]


@dataclass(frozen=True)
class PartRows:
    """All rows of a key in one file.

    Args:
        part: its table's name, such as limit.
        needs_bundle: whether what was measured is a bundle's.
        rows: of every repeat and attempt, void ones among them.
    """

    part: str
    needs_bundle: bool
    rows: tuple[PartRow, ...]

    @property
    def last(self) -> PartRow:
        return self.rows[-1]

    @property
    def figures(self) -> dict[str, list[Figure]]:
        """By name, one a repeat: of its last attempt that is not void."""
        valid = {row.row["repeat"]: row for row in self.rows if row.void is None}
        found: dict[str, list[Figure]] = {}
        for row in valid.values():
            for one in row.figures:
                found.setdefault(one.name, []).append(one)
        return found


def part_rows(results: Results) -> dict[str, PartRows]:
    """By key, of all parts of a file."""
    found: dict[str, PartRows] = {}
    for part in PARTS:
        if part.section in results.document:
            for row in part.figures(results.document[part.section]):
                so_far = found.get(row.key, PartRows(part.table, part.needs_bundle, ()))
                found[row.key] = replace(so_far, rows=(*so_far.rows, row))
    return found


def measured_figures(results: Results) -> list[tuple[str, str, float]]:
    """What no two runs have in common: every figure of every row."""
    return [
        (row.key, one.name, one.value)
        for of_key in part_rows(results).values()
        for row in of_key.rows
        for one in row.figures
    ]
