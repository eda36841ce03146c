"""What a results file holds beside points as Markdown: tables as a terminal has, and numbers."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from dualtower.errors import UsageError
from dualtower_benchmarks.markdown.table import escaped, table_line
from dualtower_benchmarks.numerals import number
from dualtower_benchmarks.scenario.blocks import Block
from dualtower_benchmarks.scenario.part import Part
from dualtower_benchmarks.scenario.parts import PARTS
from dualtower_benchmarks.schema import Results

__all__ = ["as_text", "part_number", "part_table", "parts_here", "parts_markdown"]

_NO_ROWS = ("absent", "summary")  # lists of something else


def parts_here(document: Mapping[str, Any]) -> dict[str, Part]:
    """Those that it holds, by the name of their table in the scenario."""
    return {part.table: part for part in PARTS if part.section in document}


def parts_markdown(document: Mapping[str, Any]) -> str:
    """All tables of all parts, with what is to be known of them."""
    return _joined(
        block
        for part in parts_here(document).values()
        for block in part.blocks(document[part.section])
    )


def part_table(results: Results, name: str, filters: Mapping[str, str]) -> str:
    """The tables of one part.

    Args:
        name: of its table in the scenario, such as limit.
        filters: fields of its rows and what they must be, as `as_text` gives them; with any of
            them what is absent is left out.

    Raises:
        UsageError: the results have no such part, or nothing in it fits.
    """
    part = _part(results, name)
    return _joined(part.blocks(_fitting(results, part, filters)))


def part_number(results: Results, name: str, figure: str, filters: Mapping[str, str]) -> str:
    """A figure of what fits, the median of its repeats.

    Raises:
        UsageError: the results have no such part or figure, or not one thing fits.
    """
    part = _part(results, name)
    rows = [row for row in part.figures(_fitting(results, part, filters)) if row.void is None]
    values: dict[str, list[float]] = {}
    for row in rows:
        for one in row.figures:
            if one.name == figure:
                values.setdefault(row.key, []).append(one.value)
    asked = " ".join((f"part={name}", *(f"{field}={value}" for field, value in filters.items())))
    if not values:
        names = dict.fromkeys(one.name for row in rows for one in row.figures)
        raise UsageError(
            f"no {figure} of {results.path} has {asked}; there is "
            f"{', '.join(names) or 'no figure that is not void'}"
        )
    if len(values) > 1:
        words = dict.fromkeys(row.words for row in rows if row.key in values)
        raise UsageError(
            f"{figure} of {results.path} with {asked} is of {len(values)}: {'; '.join(words)}; add "
            "KEY=VALUE of a field of their rows"
        )
    (found,) = values.values()
    return number(statistics.median_low(found))


def as_text(value: Any) -> str:
    """A field of a row, as a marker asks for it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _part(results: Results, name: str) -> Part:
    here = parts_here(results.document)
    if name not in here:
        raise UsageError(
            f"a marker of {results.name} asks for part={name}; {results.path} has "
            f"{', '.join(f'part={one}' for one in here) or 'points alone'}"
        )
    return here[name]


def _fitting(results: Results, part: Part, filters: Mapping[str, str]) -> Mapping[str, Any]:
    """The part with the rows that fit, and what belongs to their keys."""
    found: Mapping[str, Any] = results.document[part.section]
    if not filters:
        return found
    lists = {
        name: rows
        for name, rows in found.items()
        if isinstance(rows, list) and name not in _NO_ROWS
    }
    fields = dict.fromkeys(
        name
        for rows in lists.values()
        for row in rows
        for name, value in row.items()
        if isinstance(value, (str, int, float))
    )
    if unknown := [name for name in filters if name not in fields]:
        raise UsageError(
            f"a marker of {results.name} asks for {unknown[0]}={filters[unknown[0]]}; rows of "
            f"part={part.table} have {', '.join(fields)}"
        )
    kept = {
        name: [row for row in rows if all(_fits(row, *one) for one in filters.items())]
        for name, rows in lists.items()
    }
    keys = {row["key"] for rows in kept.values() for row in rows}
    if not keys:
        asked = " ".join(f"{name}={value}" for name, value in filters.items())
        raise UsageError(f"no row of part={part.table} of {results.path} has {asked}")
    summary = [one for one in found.get("summary", ()) if one["key"] in keys]
    return {**found, **kept, "summary": summary, "absent": []}


def _fits(row: Mapping[str, Any], name: str, value: str) -> bool:
    return name in row and as_text(row[name]) == value


def _joined(blocks: Iterable[Block]) -> str:
    return "\n\n".join(text for block in blocks for text in _texts(block))


def _texts(block: Block) -> list[str]:
    texts = [f"**{escaped(block.title)}**"] if block.title else []
    if block.rows:
        rule = ["---" if place in block.left else "---:" for place in range(len(block.head))]
        texts.append("\n".join(table_line(row) for row in (block.head, rule, *block.rows)))
    if block.notes:
        texts.append("\n".join(f"- {escaped(note)}" for note in block.notes))
    return texts
