"""UCI Online Retail as a workbook and as CSV: the same purchases, everything else counted."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dualtower.errors import DataError
from dualtower_trainer.data import FileOptions, import_files
from dualtower_trainer.data.formats.workbook import workbook_rows

HEADER = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice",
          "CustomerID", "Country")  # fmt: skip
START = datetime(2010, 12, 1, 8, 26)
UK = "United Kingdom"
# minutes after START instead of a date; None for an empty cell
LINES: list[tuple[Any, ...]] = [
    (536365, "85123A", "WHITE HANGING HEART T-LIGHT HOLDER", 6, 0, 2.55, 17850, UK),
    (536365, 71053, "WHITE METAL LANTERN", 6, 0, 3.39, 17850, UK),
    (536365, "POST", "POSTAGE", 1, 0, 18.0, 17850, UK),
    ("C536379", "85123A", "WHITE HANGING HEART T-LIGHT HOLDER", -1, 9, 2.55, 17850, UK),
    (536380, 71053, "METAL LANTERN", 1, 10, 3.39, None, UK),
    (536381, 71053, "WHITE MOROCCAN METAL LANTERN", 2, 11, 3.75, 13047, UK),
    (536382, "85123a", "CREAM HANGING HEART  T-LIGHT HOLDER ", 2, 12, 2.95, 13047, UK),
    (536383, "85123A", "CREAM HANGING HEART T-LIGHT HOLDER", 2, 13, 2.95, 12583, UK),
    (536384, "85123A", "damaged", -9, 14, 0, 12583, UK),
    (536385, "22423", None, 2, 15, 12.75, 12583, "France"),
    (536386, "22423", "REGENCY CAKESTAND 3 TIER & LID", 1, 16, 12.75, 12584, "France"),
    (536387, "22423", "REGENCY CAKESTAND 3 TIER & LID", 1, 17, 0, 12584, "France"),
    ("A563185", "B", "Adjust bad debt", 1, 18, 11062.06, None, UK),
    (536388, "BANK CHARGES", "Bank Charges", 1, 19, 15.0, 12584, UK),
    (536389, "M", "Manual", 1, 20, 15.0, 12584, UK),
    (536390, "99999", None, 1, 21, 15.0, 12584, UK),
]
ITEMS = {
    "22423": "REGENCY CAKESTAND 3 TIER & LID",
    "71053": "WHITE MOROCCAN METAL LANTERN",  # as frequent as the other, and longer
    "85123A": "CREAM HANGING HEART T-LIGHT HOLDER",
}
BOUGHT = [("17850", "71053", 0), ("17850", "85123A", 0), ("13047", "71053", 11)]
BOUGHT += [("13047", "85123A", 12), ("12583", "85123A", 13), ("12583", "22423", 15)]
BOUGHT += [("12584", "22423", 16)]
LEFT_OUT = {
    "code is no product": 3,
    "cancelled invoice": 1,
    "no customer": 1,
    "quantity is not above 0": 1,
    "price is not above 0": 1,
    "correction, not a sale": 1,
}
OPTIONS = FileOptions(format="online-retail")
Write = Callable[..., Path]


def _serial(minutes: int, epoch: datetime = datetime(1899, 12, 30)) -> float:
    """A date as a cell of a workbook holds it."""
    return (START + timedelta(minutes=minutes) - epoch) / timedelta(days=1)


def _cells(line: tuple[Any, ...], date: object) -> list[Any]:
    return [*line[:4], date, *line[5:]]


def _check(folder: Path, report: dict[str, Any]) -> None:
    items = pq.read_table(folder / "items.parquet").to_pylist()
    assert {item["item_id"]: item["text"] for item in items} == ITEMS
    found = pq.read_table(folder / "interactions.parquet").to_pylist()
    start_s = int(START.replace(tzinfo=timezone.utc).timestamp())
    assert sorted(
        (row["user_id"], row["item_id"], (row["timestamp"] - start_s) / 60) for row in found
    ) == sorted(BOUGHT)
    assert report["interactions_file"]["left_out"] == LEFT_OUT
    assert report["items_file"]["quarantined"] == {"empty text": 1}
    assert report["interactions_file"]["quarantined"] == {"unknown item": 1}


@pytest.mark.parametrize("from_1904", [False, True])
def test_the_workbook(write_workbook: Write, tmp_path: Path, from_1904: bool) -> None:
    epoch = datetime(1904, 1, 1) if from_1904 else datetime(1899, 12, 30)
    rows = [HEADER, *(_cells(line, _serial(line[4], epoch)) for line in LINES)]
    path = write_workbook(tmp_path / "Online Retail.xlsx", rows, from_1904=from_1904)
    _check(tmp_path / "out", import_files(path, None, tmp_path / "out", OPTIONS))


def test_both_years_of_the_second_edition(write_workbook: Write, tmp_path: Path) -> None:
    header = ("Invoice", *HEADER[1:5], "Price", "Customer ID", "Country")
    rows = [_cells(line, _serial(line[4])) for line in LINES]
    path = write_workbook(tmp_path / "II.xlsx", [header, *rows[:7]], [header, *rows[7:]])
    _check(tmp_path / "out", import_files(path, None, tmp_path / "out", OPTIONS))


@pytest.mark.parametrize("form", ["%m/%d/%Y %H:%M", "%Y-%m-%d %H:%M:%S", "%d-%m-%Y %H:%M"])
def test_csv(tmp_path: Path, form: str) -> None:
    path = tmp_path / "data.csv"
    with path.open("w", encoding="latin-1", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(HEADER)
        for line in LINES:
            date = (START + timedelta(minutes=line[4])).strftime(form)
            cells = ["" if cell is None else cell for cell in _cells(line, date)]
            cells[6] = f"{cells[6]}.0" if cells[6] else ""  # as pandas writes it
            writer.writerow(cells)
    options = OPTIONS
    if form.startswith("%d"):
        with pytest.raises(DataError, match=r"bad timestamp.*--timestamp-format"):
            import_files(path, None, tmp_path / "out", OPTIONS)
        options = FileOptions(format="online-retail", timestamp_format=form)
    _check(tmp_path / "out", import_files(path, path, tmp_path / "out", options))


def test_csv_in_latin_1(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    row = '1,22423,"CAFÉ SIGN, £1",1,12/1/2010 8:26,1.0,7,Eire\n'
    path.write_bytes((",".join(HEADER) + "\n" + row).encode("latin-1"))
    import_files(path, None, tmp_path / "out", OPTIONS)
    texts = pq.read_table(tmp_path / "out" / "items.parquet")["text"].to_pylist()
    assert texts == ["CAFÉ SIGN, £1"]


def test_bad_lines(write_workbook: Write, tmp_path: Path) -> None:
    rows = [HEADER, *(_cells(line, _serial(line[4])) for line in LINES)]
    rows.append(_cells(LINES[0], "in spring"))
    rows.append(_cells(LINES[0], 1e300))
    rows.append([1, "22423", "CAKESTAND", "a few", 40000.0, 1.0, 7, UK])
    rows.append([1])
    path = write_workbook(tmp_path / "a.xlsx", rows)
    report = import_files(path, None, tmp_path / "out", OPTIONS)
    assert report["interactions_file"]["quarantined"] == {
        "bad timestamp": 2,
        "quantity or price is no number": 2,
        "unknown item": 1,
    }
    rows = list(csv.DictReader((tmp_path / "out" / "quarantine.csv").open()))
    assert {row["line"] for row in rows if row["reason"] == "bad timestamp"} == {"18", "19"}


def test_a_shop_that_sold_nothing(write_workbook: Write, tmp_path: Path) -> None:
    rows = [HEADER, *(_cells(LINES[place], _serial(0)) for place in (2, 3, 3))]
    path = write_workbook(tmp_path / "a.xlsx", rows)
    with pytest.raises(DataError, match=r"cancelled invoice: 2, code is no product: 1"):
        import_files(path, None, tmp_path / "out", OPTIONS)


def test_what_is_no_workbook(write_workbook: Write, tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    for content in (b"", b"not a zip"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"empty|is no workbook"):
            import_files(path, None, tmp_path / "out", OPTIONS)
    write_workbook(path, [HEADER, *(_cells(line, 40000.0) for line in LINES)])
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="is no workbook"):
        import_files(path, None, tmp_path / "out", OPTIONS)
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    for rows in ("<row>", '<row r="one"/>', '<row><c r="ZZZZZZZ1"/></row>'):
        sheet = f"<worksheet {main}><sheetData>{rows}</sheetData></worksheet>"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("xl/worksheets/sheet1.xml", sheet)
        with pytest.raises(DataError, match="is no workbook"):
            import_files(path, None, tmp_path / "out", OPTIONS)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<document/>")
    with pytest.raises(DataError, match=r"no xl/worksheets/sheet1\.xml"):
        import_files(path, None, tmp_path / "out", OPTIONS)
    write_workbook(path, [("Invoice", "Amount"), (1, 2)])
    with pytest.raises(DataError, match="'StockCode'"):
        import_files(path, None, tmp_path / "out", OPTIONS)


def test_cells_of_every_kind(tmp_path: Path) -> None:
    """Rich text, inline text, formulas' texts, errors, booleans, gaps, cells without a place."""
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    sheet = (
        '<row r="3"><c r="B3" t="s"><v>0</v></c>'
        '<c r="AA3" t="inlineStr"><is><t>in</t></is></c></row>'
        '<row><c><v>1.5</v></c><c t="str"><f>A1</f><v>made</v></c><c t="e"><v>#N/A</v></c>'
        '<c t="b"><v>1</v></c><c/><c t="s"><v>7</v></c></row><row r="9"/>'
    )
    strings = "<si><r><t>ri</t></r><r><t>ch</t></r><rPh><t>reading</t></rPh></si>"
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "xl/worksheets/sheet1.xml",
            f"<worksheet {main}><sheetData>{sheet}</sheetData></worksheet>",
        )
        archive.writestr("xl/sharedStrings.xml", f"<sst {main}>{strings}</sst>")
    first, second = workbook_rows(path)
    assert first[1:] == (3, ["", "rich", *[""] * 24, "in"])
    assert second[1:] == (4, ["1.5", "made", "", "1", "", ""])
