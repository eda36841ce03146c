"""Results as text on stdout: rich tables on a terminal, aligned lines elsewhere."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import click

__all__ = ["Table", "show"]


@dataclass(frozen=True)
class Table:
    """A title and rows of cells; the first cell is a label, the others stand to the right."""

    title: str
    rows: Sequence[Sequence[str]]
    header: Sequence[str] = ()


def show(tables: Sequence[Table]) -> None:
    """Writes the tables to stdout."""
    if sys.stdout.isatty():
        try:
            _show_rich(tables)
            return
        except ModuleNotFoundError:  # the base installation has no rich
            pass
    for table in tables:
        rows = [table.header, *table.rows] if table.header else table.rows
        click.echo("\n".join([table.title, *map("  {}".format, _aligned(rows)), ""]))


def _show_rich(tables: Sequence[Table]) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console()
    for table in tables:
        shown = RichTable(
            title=Text(table.title, "bold"), title_justify="left", show_header=bool(table.header)
        )
        columns = max(map(len, [table.header, *table.rows]))
        for place, name in itertools.zip_longest(range(columns), table.header, fillvalue=""):
            shown.add_column(str(name), justify="right" if place else "left")
        for row in table.rows:
            shown.add_row(*map(Text, row))
        console.print(shown)


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
