"""Reports as text: tables of rich on a terminal, aligned lines elsewhere."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

__all__ = ["Table", "description_tables", "import_tables", "show"]


@dataclass(frozen=True)
class Table:
    """A title and rows of cells; the first cell is a label, the others are right-aligned."""

    title: str
    rows: Sequence[Sequence[str]]


def show(tables: Sequence[Table]) -> None:
    """Writes the tables to stdout."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text

        console = Console()
        for table in tables:
            shown = RichTable(
                title=Text(table.title, "bold"), title_justify="left", show_header=False
            )
            for place in range(max(map(len, table.rows), default=0)):
                shown.add_column(justify="right" if place else "left")
            for row in table.rows:
                shown.add_row(*map(Text, row))
            console.print(shown)
        return
    for table in tables:
        click.echo("\n".join([table.title, *map("  {}".format, _aligned(table.rows)), ""]))


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Cells in columns of equal width, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in itertools.zip_longest(*rows, fillvalue="")]
    return [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
        for row in rows
    ]


def import_tables(report: Mapping[str, Any]) -> list[Table]:
    """The report of an import, of whichever source."""
    tables = [_counts("Data", {name: report[name] for name in ("interactions", "users", "items")})]
    for part in ("transactions", "products", "interactions_file", "items_file"):
        if part in report:
            tables.append(_counts(part.replace("_", " ").capitalize(), report[part]))
    return tables


def description_tables(facts: Mapping[str, Any]) -> list[Table]:
    """What `describe` found."""
    counts = (
        "interactions",
        "users",
        "items",
        "unknown_item_interactions",
        "items_without_interactions",
        "blocked_items",
        "items_sharing_a_text",
        "user_item_pairs",
    )
    size = [
        *(_row(name, facts[name]) for name in counts),
        ("density", f"{facts['density']:.3%}"),
        ("repeats", f"{facts['repeat_share']:.1%}"),
        ("first", facts["first"]),
        ("last", facts["last"]),
        ("days", f"{facts['days']:.1f}"),
    ]
    quantiles = [
        ("", *facts["items_per_user"]),
        *(
            (name.replace("_", " "), *(f"{value:,.0f}" for value in facts[name].values()))
            for name in ("items_per_user", "users_per_item", "text_words")
        ),
    ]
    tables = [Table(facts["path"], size), Table("Quantiles", quantiles)]
    categories = facts["categories"]
    if categories["distinct"]:
        largest = [(c["category"], f"{c['items']:,}") for c in categories["largest"]]
        tables.append(Table(f"Largest of {categories['distinct']:,} categories, items", largest))
    if facts["split"] is None:
        return [*tables, Table("Split", [("not possible", facts["split_problem"])])]
    tables.append(_counts("Split", facts["split"]))
    promises = [
        (check["promise"], "holds" if check["passed"] else f"BROKEN {check['violations']:,} times")
        for check in facts["leakage"]
    ]
    return [*tables, Table("Leakage", promises)]


def _counts(title: str, counts: Mapping[str, Any]) -> Table:
    """Counts, nested ones indented below their name."""
    rows: list[tuple[str, str]] = []
    for name, value in counts.items():
        if not isinstance(value, Mapping):
            rows.append(_row(name, value))
        elif value:
            rows.append((name.replace("_", " "), ""))
            rows += [("  " + label, shown) for label, shown in _counts("", value).rows]
    return Table(title, rows)


def _row(name: str, value: Any) -> tuple[str, str]:
    return name.replace("_", " "), f"{value:,}" if isinstance(value, int) else str(value)
