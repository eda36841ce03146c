"""Results of other commands on the page: searches for a limit, life events, an index.

A command may put a key of its own beside the points of a scenario, or write a file of its own. What
has a figure here gets it; the rest stands as the table that it is, so that nothing is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtower.errors import UsageError
from dualtower_benchmarks.numerals import DASH, is_estimate, number, plain, words
from dualtower_benchmarks.report.hardware import hardware
from dualtower_benchmarks.report.tables import Cell, Table, facts_tables

__all__ = ["KINDS", "Other", "kind_of", "tables_of"]

KINDS = ("roofline", "limits", "tune", "events", "mlperf", "index", "training", "clients", "soak")
_MOST_COLUMNS = 16
_HIDDEN = frozenset({"key", "subject", "log_folder", "facts", "timeline", "seeds"})


@dataclass(frozen=True)
class Other:
    """A file of another command, or a key of a results file.

    Args:
        kind: one of KINDS.
        found: what it holds.
        document: the file, for its machine.
    """

    kind: str
    found: Any
    document: Mapping[str, Any]
    name: str


def kind_of(path: Path, document: Mapping[str, Any]) -> Other:
    """A file that is no results of `bench run`.

    Raises:
        UsageError: it is nothing that a page can show.
    """
    if not isinstance(document.get("machine"), Mapping):
        raise UsageError(
            f"{path} does not say on which machine it was measured, so no figure can; give a file "
            "that a command of `dualtower bench` wrote"
        )
    named = str(document.get("kind", ""))
    kind = next((one for one in KINDS if one in document or one == named), None)
    if kind is None:
        raise UsageError(
            f"{path} is of no kind that the page knows; it takes results of `dualtower bench run`, "
            f"and files with one of {', '.join(KINDS)}"
        )
    return Other(kind, document.get(kind, document), document, path.stem)


def tables_of(other: Other) -> list[Table]:
    """Whatever a command found, as tables: a list of rows is one, single facts are another."""
    return _tables(words(other.kind), other.found, hardware(other.document))


def _tables(caption: str, found: Any, where: str) -> list[Table]:
    if isinstance(found, Sequence) and not isinstance(found, str):
        rows = [row for row in found if isinstance(row, Mapping)]
        return [_of_rows(f"{caption}; {where}", rows)] if rows else []
    if not isinstance(found, Mapping):
        return []
    nested = {k: v for k, v in found.items() if isinstance(v, list) and _is_rows(v)}
    plain_facts = {
        k: v for k, v in found.items()
        if k not in nested and k not in _HIDDEN and k not in ("machine", "schema")
    }  # fmt: skip
    tables = facts_tables(plain_facts, f"{caption}; {where}") if plain_facts else []
    for key, value in nested.items():
        tables += _tables(f"{caption}: {words(key)}", value, where)
    return tables


def _is_rows(values: Sequence[Any]) -> bool:
    return bool(values) and all(isinstance(one, Mapping) for one in values)


def _of_rows(caption: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    keys = [key for key in dict.fromkeys(key for row in rows for key in row) if key not in _HIDDEN]
    simple = [key for key in keys if any(_is_simple(row.get(key)) for row in rows)]
    varying = [key for key in simple if len({plain(row.get(key)) for row in rows}) > 1]
    chosen = (varying or simple)[:_MOST_COLUMNS]
    fixed = [
        f"{words(key)} {plain(rows[0][key])}" for key in simple
        if key not in varying and rows[0].get(key) not in (None, "")
    ]  # fmt: skip
    return Table(
        caption,
        tuple(words(key) for key in chosen),
        [tuple(_cell(row.get(key)) for key in chosen) for row in rows],
        notes=[f"The same in all: {', '.join(fixed)}."] if varying and fixed else [],
    )


def _is_simple(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool)) or is_estimate(value)


def _cell(value: Any) -> Cell | str:
    if is_estimate(value):
        low, high = value.get("low"), value.get("high")
        beside = "" if low is None or high is None else f"{number(low)}–{number(high)}"
        return Cell(number(value["value"]), beside)
    if value is None or value == "":
        return DASH
    return plain(value)
