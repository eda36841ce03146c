"""What a format hands to the import: two sources of rows, and what it left out on the way."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dualtower_trainer.data.record import Record, RowSource, bad_characters
from dualtower_trainer.data.text_lines import numbered_lines, repaired

__all__ = ["Adapted", "FormatOptions", "Opened", "delimited_rows", "fill_template"]


@dataclass(frozen=True)
class FormatOptions:
    """How a published data set is read.

    Attributes:
        text_template: how an item's text is made of its `{fields}`; None takes the format's own.
        delimiter: as of `open_source`, for CSV files.
        quotes: likewise.
        timestamp_format: a `strptime` pattern for times that are written in words.
    """

    text_template: str | None = None
    delimiter: str | None = None
    quotes: bool = True
    timestamp_format: str | None = None


@dataclass(frozen=True, eq=False)
class Opened:
    """Interactions and items of a data set, ready to be read.

    Attributes:
        log: rows of interactions, in columns named by their roles.
        items: rows of items, likewise.
        text_template: how the texts are made; `{text}` where they are taken as they come.
        timestamp_format: how the times of `log` are to be parsed; None: numbers and ISO 8601.
        left_out: good rows that are no interaction, by reason; counted while `log` is read.
        notes: what a reader of the import report should know.
    """

    log: RowSource
    items: RowSource
    text_template: str = "{text}"
    timestamp_format: str | None = None
    left_out: Counter[str] = field(default_factory=Counter)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Adapted:
    """Rows in our columns, made one by one of rows in theirs.

    Attributes:
        path: the file they come from.
        columns: names of the fields of each row.
        rows: begins to read; bad rows carry their problem and no fields.
    """

    path: Path
    columns: tuple[str, ...]
    rows: Callable[[], Iterator[Record]]

    def records(self, columns: Sequence[str]) -> Iterator[Record]:
        """Every row, with the fields of `columns` in this order."""
        places = [self.columns.index(name) for name in columns]
        for record in self.rows():
            if record.problem:
                yield record
            else:
                fields = [record.fields[place] for place in places]
                yield record._replace(fields=fields, problem=bad_characters(fields))


def delimited_rows(path: Path, delimiter: str, width: int, *, latin: bool) -> Iterator[Record]:
    """Lines without a header and without quotes, cut at a delimiter of any length."""
    for line, raw in numbered_lines(path):
        text = repaired(raw) if latin else raw
        fields = text.split(delimiter)
        problem = "" if len(fields) == width else "wrong number of fields"
        yield Record(line, fields, problem, raw)


def fill_template(template: str, fields: Mapping[str, str]) -> str:
    """The template with its fields; what stands before an empty field goes with it.

    >>> fill_template("{title}. {genres}", {"title": "Heat (1995)", "genres": ""})
    'Heat (1995)'
    >>> fill_template("{title}. {genres}", {"title": "", "genres": "Crime"})
    'Crime'
    """
    parts: list[str] = []
    for place, (literal, name, _, _) in enumerate(string.Formatter().parse(template)):
        value = " ".join(fields[name].split()) if name else ""
        if value or name is None:
            parts.append(literal + value if parts or place == 0 else value)
    return "".join(parts).strip()
