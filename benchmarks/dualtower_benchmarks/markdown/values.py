"""What stands between two markers of a README, out of a results file.

<!-- bench:server-full -->                        the tables of all cases, and the machine
<!-- bench:server-full table driver=grpc -->      the table of some
<!-- bench:server-full machine -->                the machine
<!-- bench:server-full command -->                the command to run again
<!-- bench:server-full p99_ms driver=grpc batch_rows=1 rate_share=0.5 -->
                                                  one number: a column of the one case that fits
<!-- bench:limit table part=limit model=recommender -->
                                                  the table of a part beside points, or some of it
<!-- bench:limit limit_qps part=limit model=recommender -->
                                                  one number of it: a figure, as comparisons have it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dualtower.errors import UsageError
from dualtower_benchmarks.markdown.parts import (
    as_text,
    part_number,
    part_table,
    parts_here,
    parts_markdown,
)
from dualtower_benchmarks.markdown.table import machine_line, table_of
from dualtower_benchmarks.numerals import count, number
from dualtower_benchmarks.schema import Results
from dualtower_benchmarks.schema.measured import Measured, measured_of

__all__ = ["BLOCKS", "OF_PART", "text_for"]

BLOCKS = ("table", "machine", "command")
OF_PART = "part"  # names what is not of points: the table of a scenario, such as limit
_COUNTS = ("n", "failed", "skipped")  # summed over repeats; other columns are medians


def text_for(results: Results, part: str, filters: Mapping[str, str]) -> str:
    """The text of one marker.

    Args:
        part: "" for the tables with the machine, one of BLOCKS, or the name of a column or figure.
        filters: fields of a case and what they must be, as text; OF_PART takes rows of that part.

    Raises:
        UsageError: a filter is no field, no or several cases fit, or the number is not there.
    """
    document = results.document
    if part == "machine":
        return machine_line(document)
    if part == "command":
        return f"```sh\n{document['command']}\n```"
    if OF_PART in filters:
        others = {name: value for name, value in filters.items() if name != OF_PART}
        if part in ("", "table"):
            return part_table(results, filters[OF_PART], others)
        return part_number(results, filters[OF_PART], part, others)
    cases = _fitting(measured_of(results.points), filters, results)
    shown = {**document, "absent": []} if filters else document
    parts = parts_here(document)
    if part == "table" and parts and not (cases or document["absent"]):
        raise UsageError(
            f"a marker of {results.name} asks for a table of points, and {results.path} has none; "
            f"add {' or '.join(f'{OF_PART}={name}' for name in parts)}"
        )
    if part == "table":
        return table_of(shown, cases)
    if not part:
        tables = [table_of(shown, cases)] if cases or document["absent"] or not parts else []
        tables += [parts_markdown(document)] if parts and not filters else []
        return "\n\n".join([*tables, machine_line(document)])
    return _number(_only(cases, part, filters, results), part, results)


def _fitting(
    cases: Sequence[Measured], filters: Mapping[str, str], results: Results
) -> list[Measured]:
    for name in filters:
        if cases and name not in results.document["scenario"]["cases"][0]:
            raise UsageError(
                f"a marker of {results.name} asks for {name}={filters[name]}; cases have "
                f"{', '.join(results.document['scenario']['cases'][0])}"
            )
    fitting = [
        case for case in cases
        if all(as_text(case[name]) == value for name, value in filters.items())
    ]  # fmt: skip
    if filters and not fitting:
        asked = " ".join(f"{name}={value}" for name, value in filters.items())
        raise UsageError(f"no case of {results.path} has {asked}; look with `bench markdown`")
    return fitting


def _only(
    cases: Sequence[Measured], part: str, filters: Mapping[str, str], results: Results
) -> Measured:
    if len(cases) == 1:
        return cases[0]
    differ = [
        name
        for name in results.document["scenario"]["cases"][0]
        if len({as_text(case[name]) for case in cases}) > 1
    ]
    raise UsageError(
        f"{part} of {results.name} with {dict(filters)} fits {len(cases)} cases; add "
        f"{' or '.join(f'{name}=…' for name in differ)}"
    )


def _number(case: Measured, part: str, results: Results) -> str:
    if part in _COUNTS:
        return count(getattr(case, part))
    try:
        value: Any = case.offered_qps if part == "offered_qps" else case.value(part)
    except (KeyError, TypeError):
        value = "unknown"
    if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
        raise UsageError(
            f"a marker of {results.name} asks for {part!r}; it takes {', '.join(BLOCKS)}, "
            f"{', '.join(_COUNTS)}, or a column of numbers such as p99_ms and rows_per_s"
        )
    if value is None:
        raise UsageError(
            f"{part} of the marked case of {results.path} is not there: too few samples, or void; "
            "measure for longer, or take the marker out"
        )
    return number(value)
