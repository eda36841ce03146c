"""Rows of an .xlsx workbook, streamed: memory holds the distinct texts, not the sheets.

An .xlsx file is a zip of XML (ECMA-376): texts stand once in xl/sharedStrings.xml, cells refer to
them by number. A date is a number, days since the end of 1899 (or since 1904).
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

from dualtower.errors import DataError
from dualtower.progress import bar
from dualtower_trainer.data.record import first_line

__all__ = ["excel_seconds", "uses_1904", "workbook_rows"]

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_SHEET = re.compile(r"xl/worksheets/sheet(\d+)\.xml")
_CELL = re.compile(r"([A-Z]+)\d+")
_MAX_COLUMNS = 16_384  # XFD, the last that a sheet has
_DAY_S = 86_400
# RuntimeError: an encrypted part, or one of an unknown compression
_DAMAGE = (
    zipfile.BadZipFile, ElementTree.ParseError, zlib.error, EOFError, RuntimeError, ValueError,
)  # fmt: skip
_EPOCH_DAYS = {False: 25_569, True: 24_107}  # 1970-01-01 counted from 1899-12-30, from 1904-01-01


def workbook_rows(path: Path) -> Iterator[tuple[str, int, list[str]]]:
    """Sheet, row number and cells as text of every row that is not empty; numbers as they stand.

    Raises:
        DataError: the file is missing, or is no workbook, or is damaged.
    """
    with _workbook(path) as archive:
        sheets = {int(m[1]): m[0] for name in archive.namelist() if (m := _SHEET.fullmatch(name))}
        if not sheets:
            raise DataError(f"{path} is no workbook: it has no xl/worksheets/sheet1.xml")
        texts = _shared_texts(archive)
        with bar(f"read {path.name}", None) as moving:
            for _, name in sorted(sheets.items()):
                with archive.open(name) as stream:
                    for number, cells in _sheet_rows(stream, texts):
                        moving.advance(note="rows")
                        if any(cells):
                            yield name, number, cells


def uses_1904(path: Path) -> bool:
    """Whether the dates of a workbook count from 1904.

    Raises:
        DataError: as of `workbook_rows`.
    """
    with _workbook(path) as archive:
        if "xl/workbook.xml" not in archive.namelist():
            return False
        root = ElementTree.fromstring(archive.read("xl/workbook.xml"))
    properties = root.find(f"{_MAIN}workbookPr")
    return properties is not None and properties.get("date1904") in ("1", "true")


def excel_seconds(days: float, from_1904: bool) -> int:
    """Seconds UTC of a date cell.

    >>> excel_seconds(40513.35138888889, False)  # 2010-12-01 08:26
    1291191960
    """
    return round((days - _EPOCH_DAYS[from_1904]) * _DAY_S)


@contextmanager
def _workbook(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _DAMAGE as error:
        raise DataError(
            f"{path} is no workbook (.xlsx), or is damaged: {first_line(error)}"
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _shared_texts(archive: zipfile.ZipFile) -> list[str]:
    if "xl/sharedStrings.xml" not in archive.namelist():
        return []
    with archive.open("xl/sharedStrings.xml") as stream:
        return [_text_of(entry) for entry in _elements(stream, f"{_MAIN}si")]


def _text_of(entry: ElementTree.Element) -> str:
    """The text of a rich or plain string, without its phonetic reading (rPh)."""
    runs = [entry, *entry.findall(f"{_MAIN}r")]
    return "".join(t.text or "" for run in runs for t in run.findall(f"{_MAIN}t"))


def _sheet_rows(stream: IO[bytes], texts: list[str]) -> Iterator[tuple[int, list[str]]]:
    number = 0
    for row in _elements(stream, f"{_MAIN}row"):
        number = int(row.get("r", number + 1))
        cells: list[str] = []
        for cell in row.findall(f"{_MAIN}c"):
            place = _column(cell.get("r", ""), len(cells))
            cells += [""] * (place - len(cells) + 1)
            cells[place] = _cell_text(cell, texts)
        yield number, cells


def _cell_text(cell: ElementTree.Element, texts: list[str]) -> str:
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        inline = cell.find(f"{_MAIN}is")
        return "" if inline is None else _text_of(inline)
    value = cell.findtext(f"{_MAIN}v") or ""
    if kind == "s":
        return texts[int(value)] if value.isdecimal() and int(value) < len(texts) else ""
    return "" if kind == "e" else value


def _column(reference: str, following: int) -> int:
    """0 for A1, 26 for AA7; a cell without a reference follows the one before."""
    matched = _CELL.fullmatch(reference)
    if matched is None:
        return following
    place = 0
    for letter in matched[1]:
        place = place * 26 + ord(letter) - ord("A") + 1
    if place > _MAX_COLUMNS:
        raise ValueError(f"no sheet has a column {matched[1]}")
    return place - 1


def _elements(stream: IO[bytes], tag: str) -> Iterator[ElementTree.Element]:
    """The elements of one tag; each is emptied, and its forerunners dropped, once it was used."""
    events = ElementTree.iterparse(stream, events=("start", "end"))
    parents: list[ElementTree.Element] = []
    for event, element in events:
        if event == "start":
            parents.append(element)
            continue
        parents.pop()
        if element.tag == tag:
            yield element
            if parents:
                parents[-1].clear()
