"""Damaged files of every format: each row is kept, left out or quarantined, or the file refused."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtower.errors import DataError
from dualtower_trainer.data import FileOptions, import_files

Damage = list[tuple[float, bytes]]
DAMAGE = st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6)), min_size=1, max_size=4)


def _damaged(content: bytes, damage: Damage) -> bytes:
    for place, noise in damage:
        at = int(place * len(content))
        content = content[:at] + noise + content[at + len(noise) // 2 :]
    return content


def _xlsx(header: tuple[str, ...], damage: Damage) -> bytes:
    """A workbook whose sheet is damaged inside of the zip."""

    def row(cells: tuple[str, ...]) -> str:
        texts = "".join(f'<c t="inlineStr"><is><t>{cell}</t></is></c>' for cell in cells)
        return f"<row>{texts}</row>"

    lines = [(str(n), "85123A", "HEART", "6", "40513.35", "2.5", str(n % 5)) for n in range(40)]
    sheet = "".join(map(row, [header, *lines]))
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    text = f'<worksheet xmlns="{main}"><sheetData>{sheet}</sheetData></worksheet>'
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("xl/worksheets/sheet1.xml", _damaged(text.encode(), damage))
    return stream.getvalue()


SALES = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice",
         "CustomerID")  # fmt: skip
REVIEWS = "".join(
    json.dumps({"user_id": f"u{n % 7}", "parent_asin": f"B{n % 9}", "rating": 4.0, "timestamp": n})
    + "\n"
    for n in range(40)
)
META = "".join(
    json.dumps({"parent_asin": f"B{n}", "title": f"Thing {n}", "features": ["a", "b"]}) + "\n"
    for n in range(9)
)
# format, name and content of the log, name and content of the items
CASES: list[tuple[str, str, str, str, str]] = [
    (
        "movielens",
        "ratings.dat",
        "".join(f"{n % 7}::{n % 9}::4::{n}\n" for n in range(40)),
        "movies.dat",
        "".join(f"{n}::Film {n}, The (1995)::Drama|War\n" for n in range(9)),
    ),
    (
        "movielens",
        "ratings.csv",
        "userId,movieId,rating,timestamp\n"
        + "".join(f"{n % 7},{n % 9},4.5,{n}\n" for n in range(40)),
        "u.item",
        "".join(f"{n}|Film {n}|||http://x|{'|'.join('01' + '0' * 17)}\n" for n in range(9)),
    ),
    (
        "mind",
        "behaviors.tsv",
        "".join(
            f"{n}\tU{n % 7}\t11/11/2019 9:05:58 AM\tN1 N2\tN{n % 9}-1 N4-0\n" for n in range(40)
        ),
        "news.tsv",
        "".join(f"N{n}\tnews\tus\tTitle {n}\tabstract\turl\t[]\t[]\n" for n in range(9)),
    ),
    ("amazon", "reviews.jsonl", REVIEWS, "meta.jsonl", META),
    (
        "online-retail",
        "sales.csv",
        ",".join(SALES)
        + "\n"
        + "".join(f"{n},8512{n % 9}A,HEART,6,12/1/2010 8:26,2.5,{n % 7}\n" for n in range(40)),
        "",
        "",
    ),
]


def _check(form: str, log: Path, items: Path | None, out: Path) -> None:
    options = FileOptions(format=form, max_bad_share=1.0)
    try:
        report = import_files(log, items, out, options)
    except DataError:
        assert not out.exists()
        return
    found = report["interactions_file"]
    low = sum(count for reason, count in found["left_out"].items() if "rating" in reason)
    accounted = found["kept"] + sum(found["quarantined"].values()) + sum(found["dropped"].values())
    assert accounted + low == found["read"]
    if report["quarantine"]["rows"]:
        assert (out / "quarantine.csv").exists()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}")
@settings(max_examples=25, deadline=None)
@given(damage=DAMAGE, which=st.booleans())
def test_damaged_files(
    tmp_path_factory: pytest.TempPathFactory,
    case: tuple[str, str, str, str, str],
    damage: Damage,
    which: bool,
) -> None:
    form, log_name, log, items_name, items = case
    folder = tmp_path_factory.mktemp("noise")
    contents = [log.encode(), items.encode()]
    place = int(which and bool(items))
    contents[place] = _damaged(contents[place], damage)
    (folder / log_name).write_bytes(contents[0])
    if items_name:
        (folder / items_name).write_bytes(contents[1])
    _check(form, folder / log_name, folder / items_name if items_name else None, folder / "out")


@settings(max_examples=40, deadline=None)
@given(damage=DAMAGE, deep=st.booleans())
def test_damaged_workbooks(
    tmp_path_factory: pytest.TempPathFactory, damage: Damage, deep: bool
) -> None:
    folder = tmp_path_factory.mktemp("noise")
    content = _xlsx(SALES, damage) if deep else _damaged(_xlsx(SALES, []), damage)
    (folder / "sales.xlsx").write_bytes(content)
    _check("online-retail", folder / "sales.xlsx", None, folder / "out")
