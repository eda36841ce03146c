"""Reports as text: tables of rich on a terminal, aligned lines elsewhere."""

from __future__ import annotations

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
            shown = RichTable(title=table.title, title_justify="left", show_header=False)
            for place in range(max(map(len, table.rows), default=0)):
                shown.add_column(justify="right" if place else "left")
            for row in table.rows:
                shown.add_row(*map(Text, row))
            console.print(shown)
        return
    for table in tables:
        click.echo(table.title)
        columns = max(map(len, table.rows), default=0)
        widths = [
            max((len(row[place]) for row in table.rows if place < len(row)), default=0)
            for place in range(columns)
        ]
        for row in table.rows:
            cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))]  # noqa: B905
            click.echo("  " + "  ".join(cells).rstrip())
        click.echo()


def import_tables(report: Mapping[str, Any]) -> list[Table]:
    """The report of an import, of whichever source."""
    tables = [_counts("Data", {name: report[name] for name in ("interactions", "users", "items")})]
    for part in ("transactions", "products", "interactions_file", "items_file"):
        if part in report:
            tables.append(_counts(part.replace("_", " ").capitalize(), report[part]))
    return tables


def description_tables(facts: Mapping[str, Any]) -> list[Table]:
    """What `describe` found."""
    tables = [
        Table(
            facts["path"],
            [
                *(_row(name, facts[name]) for name in ("interactions", "users", "items")),
                *(
                    _row(name, facts[name])
                    for name in (
                        "unknown_item_interactions",
                        "items_without_interactions",
                        "blocked_items",
                        "items_sharing_a_text",
                        "user_item_pairs",
                    )
                ),
                ("density", f"{facts['density']:.3%}"),
                ("repeats", f"{facts['repeat_share']:.1%} of the interactions"),
                ("time", f"{facts['first']} to {facts['last']}, {facts['days']:.1f} days"),
            ],
        ),
        Table(
            "Quantiles",
            [
                ("", *facts["items_per_user"]),
                *(
                    (name.replace("_", " "), *(f"{v:,.0f}" for v in facts[name].values()))
                    for name in ("items_per_user", "users_per_item", "text_words")
                ),
            ],
        ),
    ]
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
