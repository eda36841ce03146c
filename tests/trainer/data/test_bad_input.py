"""Broken rows cost themselves, broken files are named; each with its reason."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtower.errors import DataError, UsageError
from dualtower_trainer.data import FileOptions, import_files, load_dataset
from dualtower_trainer.data.item_reader import MAX_TEXT_CHARS
from dualtower_trainer.data.quarantine import MAX_RAW_CHARS, MAX_ROWS_PER_REASON
from dualtower_trainer.data.records import MAX_LINE_CHARS

ITEMS = "item_id,text\ni1,one\ni2,two\n"
GOOD = [f"u{n},i{n % 2 + 1},{1_500_000_000 + n}" for n in range(20)]
Files = Callable[..., tuple[Path, Path]]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Writes log.csv (rows below user_id,item_id,timestamp) and items.csv, both as bytes."""

    def write(
        rows: list[bytes | str] | None = None,
        items: bytes | str = ITEMS,
        header: str = "user_id,item_id,timestamp",
    ) -> tuple[Path, Path]:
        lines = [line.encode() if isinstance(line, str) else line for line in rows or GOOD]
        (tmp_path / "log.csv").write_bytes(b"\n".join([header.encode(), *lines]) + b"\n")
        content = items.encode() if isinstance(items, str) else items
        (tmp_path / "items.csv").write_bytes(content)
        return tmp_path / "log.csv", tmp_path / "items.csv"

    return write


def _quarantine(folder: Path) -> list[dict[str, str]]:
    with (folder / "quarantine.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("u,i1", "wrong number of fields"),
        ("u,i1,1500000000,more", "wrong number of fields"),
        (",i1,1500000000", "empty user id"),
        ("   ,i1,1500000000", "empty user id"),
        ("u,,1500000000", "empty item id"),
        ("u,i1,", "bad timestamp"),
        ("u,i1,soon", "bad timestamp"),
        ("u,i1,nan", "bad timestamp"),
        ("u,i1,inf", "bad timestamp"),
        ("u,i1,-5", "bad timestamp"),
        ("u,i1,99999999999", "bad timestamp"),
        ("u,i1,1e400", "bad timestamp"),
        (b"u\xff,i1,1500000000", "not UTF-8"),
        (b"u,i\xe9,1500000000", "not UTF-8"),
        (b"u\x00,i1,1500000000", "NUL byte"),
        ("u,i9,1500000000", "unknown item"),
        ('"u,i1,1500000000', "quote without its end"),
        ("u" * 1001 + ",i1,1500000000", "id too long"),
    ],
)
def test_one_bad_row_costs_itself(
    files: Files, tmp_path: Path, row: bytes | str, reason: str
) -> None:
    log, items = files([*GOOD[:10], row, *GOOD[10:]])
    report = import_files(log, items, tmp_path / "out")
    assert report["interactions_file"]["quarantined"] == {reason: 1}
    assert report["interactions"] == len(GOOD)
    (kept,) = _quarantine(tmp_path / "out")
    assert (kept["file"], kept["line"], kept["reason"]) == (str(log), "12", reason)
    assert report["quarantine"] == {"rows": 1, "file": "quarantine.csv", "not_written": 0}


@pytest.mark.parametrize("weight", ["", "heavy", "0", "-1", "nan", "inf", "1e39", "1e-40"])
def test_bad_weights(files: Files, tmp_path: Path, weight: str) -> None:
    rows = [*(f"{row},1.5" for row in GOOD), f"u,i1,1500000000,{weight}"]
    log, items = files(rows, header="user_id,item_id,timestamp,weight")
    report = import_files(log, items, tmp_path / "out")
    assert report["interactions_file"]["quarantined"] == {"bad weight": 1}
    weights = load_dataset(tmp_path / "out").interactions.weights
    assert (weights == 1.5).all()


def test_raw_text_stays_readable(files: Files, tmp_path: Path) -> None:
    log, items = files([*GOOD, b"caf\xe9 \xc3\xa9,i1,1500000000", b"a\x00b,i1,1500000000"])
    import_files(log, items, tmp_path / "out")
    raw = [row["raw"] for row in _quarantine(tmp_path / "out")]
    assert raw == ["caf\\xe9 é,i1,1500000000", "a\\x00b,i1,1500000000"]


def test_bytes_in_a_column_that_nobody_reads(files: Files, tmp_path: Path) -> None:
    rows = [row.encode() + b",caf\xe9" for row in GOOD]
    log, items = files(rows, header="user_id,item_id,timestamp,remark")
    report = import_files(log, items, tmp_path / "out")
    assert report["interactions"] == len(GOOD)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"i3", "wrong number of fields"),
        (b",three,", "empty item id"),
        (b"i3,,", "empty text"),
        (b"i3,   ,", "empty text"),
        (b"i1,another one,", "item id again, with another text"),
        (b"i3,caf\xe9,", "not UTF-8"),
        (b"i3,a\x00b,", "NUL byte"),
        (b"i3,three,perhaps", "blocked is neither true nor false"),
    ],
)
def test_one_bad_item_costs_itself(files: Files, tmp_path: Path, row: bytes, reason: str) -> None:
    log, items = files(items=b"item_id,text,blocked\ni1,one,\ni2,two,1\n" + row + b"\n")
    report = import_files(log, items, tmp_path / "out")
    assert report["items_file"]["quarantined"] == {reason: 1}
    assert report["items"] == 2
    assert _quarantine(tmp_path / "out")[0]["line"] == "4"
    assert load_dataset(tmp_path / "out").catalogue.texts.tolist() == ["one", "two"]


def test_a_text_of_a_million_characters_is_cut(files: Files, tmp_path: Path) -> None:
    log, items = files(items="item_id,text\ni1,one\ni2," + "x" * 1_000_000 + "\n")
    report = import_files(log, items, tmp_path / "out")
    assert report["items_file"]["texts_cut"] == 1
    assert len(load_dataset(tmp_path / "out").catalogue.texts[1]) == MAX_TEXT_CHARS


def test_an_open_quote_does_not_swallow_the_file(files: Files, tmp_path: Path) -> None:
    many = [f"u{n},i1,{1_500_000_000 + n}" for n in range(2_000)]
    many[500] = 'u500,"i1,1500000500'
    many[1_500] = 'u1500,"i1,1500001500'
    log, items = files(many)
    report = import_files(log, items, tmp_path / "out")
    assert report["interactions"] == 1_998
    assert [row["line"] for row in _quarantine(tmp_path / "out")] == ["502", "1502"]


def test_a_field_may_hold_line_breaks(files: Files, tmp_path: Path) -> None:
    log, items = files(items='item_id,text\ni1,"one\n\nmore"\ni2\ni2,two\n')
    report = import_files(log, items, tmp_path / "out")
    assert load_dataset(tmp_path / "out").catalogue.texts.tolist() == ["one\n\nmore", "two"]
    assert report["items_file"]["quarantined"] == {"wrong number of fields": 1}
    assert _quarantine(tmp_path / "out")[0]["line"] == "5"


def test_blank_lines_are_no_rows(files: Files, tmp_path: Path) -> None:
    log, items = files([*GOOD, "", "", GOOD[0].replace("u0", "w")])
    report = import_files(log, items, tmp_path / "out")
    assert report["interactions_file"]["read"] == len(GOOD) + 1
    assert report["quarantine"]["rows"] == 0


def test_the_quarantine_file_is_capped(files: Files, tmp_path: Path) -> None:
    beyond = [f"u,nobody{n},1500000000" for n in range(MAX_ROWS_PER_REASON + 5)]
    log, items = files([*GOOD, *beyond, "u,i1,soon" + "!" * 5_000])
    report = import_files(log, items, tmp_path / "out", FileOptions(max_bad_share=1.0))
    found = _quarantine(tmp_path / "out")
    assert len(found) == MAX_ROWS_PER_REASON + 2
    assert found[-2]["reason"] == "bad timestamp"
    assert len(found[-2]["raw"]) < MAX_RAW_CHARS + 50
    assert "(5009 characters)" in found[-2]["raw"]
    assert found[-1]["reason"] == "unknown item: 5 more rows are not written here"
    assert report["interactions_file"]["quarantined"]["unknown item"] == len(beyond)
    assert report["quarantine"]["not_written"] == 5


def test_a_line_without_end_is_one_bad_row(files: Files, tmp_path: Path) -> None:
    log, items = files([*GOOD, "u,i1," + "9" * (2 * MAX_LINE_CHARS), GOOD[0].replace("u", "w")])
    report = import_files(log, items, tmp_path / "out")
    reason = f"line of {MAX_LINE_CHARS} or more characters"
    assert report["interactions_file"]["quarantined"] == {reason: 1}
    assert report["interactions"] == len(GOOD) + 1


def test_mostly_bad_is_refused_and_says_why(files: Files, tmp_path: Path) -> None:
    log, items = files([*GOOD[:4], *(f"u{n},i1,day {n}" for n in range(6))])
    with pytest.raises(DataError, match=r"6 of 10 rows cannot be used \(bad timestamp: 6\)") as e:
        import_files(log, items, tmp_path / "out")
    assert "line 6: bad timestamp: u0,i1,day 0" in str(e.value)
    assert "--max-bad-share" in str(e.value)
    assert not (tmp_path / "out").exists()
    report = import_files(log, items, tmp_path / "out", FileOptions(max_bad_share=0.6))
    assert report["interactions"] == 4


def test_all_bad_is_refused_whatever_is_allowed(files: Files, tmp_path: Path) -> None:
    log, items = files(["u,i1,soon"])
    with pytest.raises(DataError, match="1 of 1 rows"):
        import_files(log, items, tmp_path / "out", FileOptions(max_bad_share=1.0))


def test_no_overlap_shows_both_sides(files: Files, tmp_path: Path) -> None:
    log, items = files([f"u,x{n},1500000000" for n in range(5)])
    with pytest.raises(DataError, match="'x0', 'x1', 'x2'") as caught:
        import_files(log, items, tmp_path / "out")
    assert "'i1', 'i2'" in str(caught.value)


@pytest.mark.parametrize("which", ["log", "items"])
def test_a_missing_column_names_those_there_are(files: Files, tmp_path: Path, which: str) -> None:
    if which == "log":
        log, items = files(header="CustomerID,item_id,timestamp")
        expected, option = "'CustomerID'", "--map user_id=COLUMN"
    else:
        log, items = files(items="item_id,name\ni1,one\n")
        expected, option = "'name'", "--item-map text=COLUMN"
    with pytest.raises(DataError, match=expected) as caught:
        import_files(log, items, tmp_path / "out")
    assert option in str(caught.value)


def test_a_mapped_column_must_be_there(files: Files, tmp_path: Path) -> None:
    log, items = files()
    with pytest.raises(DataError, match="'when'"):
        import_files(log, items, tmp_path / "out", FileOptions(columns={"timestamp": "when"}))
    with pytest.raises(UsageError, match="did you mean 'timestamp'"):
        import_files(log, items, tmp_path / "out", FileOptions(columns={"timestmp": "when"}))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.csv", b"", "is empty"),
        ("log.csv", b"\n", "is empty"),
        ("log.csv", b"user_id,item_id,timestamp\n", "a header and no rows"),
        ("log.csv", "user_id,item_id\nu,i1\n".encode("utf-16"), "UTF-16"),
        ("log.csv", b"PK\x03\x04\x14\x00" + bytes(range(11, 256)) * 9, "no text in UTF-8"),
        ("log.csv", b"x" * 50_000 + b"\nu\n", f"it has '{'x' * 40}…'"),
        ("log.parquet", b"user_id,item_id\nu,i1\n", "no Parquet file"),
        ("log.parquet", b"PAR1", "no Parquet file"),
        (
            "log.csv.gz",
            gzip.compress(b"user_id,item_id\n" + b"u,i1\n" * 9999, mtime=0)[:-20],
            "cut off",
        ),
        (
            "log.csv.gz",
            gzip.compress(b"user_id,item_id\n" + b"u,i1\n" * 9999, mtime=0)[:40],
            "cut off",
        ),
        ("log.csv.gz", gzip.compress(b"user_id,item_id\nu,i1\n", mtime=0)[:5], "cut off"),
    ],
)
def test_broken_files_are_named(
    files: Files, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    _, items = files()
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        import_files(path, items, tmp_path / "out")
    assert str(path) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_damaged_gzip_is_named(files: Files, tmp_path: Path) -> None:
    _, items = files()
    rows = "".join(f"u{n * n},i{n % 2 + 1}\n" for n in range(50_000))
    content = bytearray(gzip.compress(b"user_id,item_id\n" + rows.encode()))
    for place in range(len(content) // 2, len(content) // 2 + 64):
        content[place] ^= 0xFF
    (tmp_path / "log.csv.gz").write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        import_files(tmp_path / "log.csv.gz", items, tmp_path / "out")


def test_a_damaged_parquet_is_named(files: Files, tmp_path: Path) -> None:
    _, items = files()
    path = tmp_path / "log.parquet"
    names = [f"u{n * 7919 % 100_003}" for n in range(20_000)]
    pq.write_table(pa.table({"user_id": names, "item_id": ["i1"] * 20_000}), path)
    content = bytearray(path.read_bytes())
    content[2_000:40_000] = bytes(38_000)
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged Parquet"):
        import_files(path, items, tmp_path / "out")


def test_a_list_column_is_refused(files: Files, tmp_path: Path) -> None:
    _, items = files()
    pq.write_table(pa.table({"user_id": [["u"]], "item_id": ["i1"]}), tmp_path / "log.parquet")
    with pytest.raises(DataError, match="'user_id' is list"):
        import_files(tmp_path / "log.parquet", items, tmp_path / "out")


def test_bad_bytes_in_parquet(files: Files, tmp_path: Path) -> None:
    _, items = files()
    users = pa.array([b"good", b"caf\xe9", b"a\x00b"], pa.binary())
    pq.write_table(pa.table({"user_id": users, "item_id": ["i1"] * 3}), tmp_path / "log.parquet")
    report = import_files(
        tmp_path / "log.parquet", items, tmp_path / "out", FileOptions(max_bad_share=0.7)
    )
    assert report["interactions_file"]["quarantined"] == {"not UTF-8": 1, "NUL byte": 1}


def test_missing_and_folder_paths(files: Files, tmp_path: Path) -> None:
    _, items = files()
    with pytest.raises(DataError, match=r"nowhere\.csv cannot be read"):
        import_files(tmp_path / "nowhere.csv", items, tmp_path / "out")
    with pytest.raises(DataError, match="is a folder"):
        import_files(tmp_path, items, tmp_path / "out")


def test_a_name_that_says_nothing_needs_a_delimiter(files: Files, tmp_path: Path) -> None:
    log, items = files()
    dat = log.rename(tmp_path / "log.dat")
    with pytest.raises(UsageError, match="--delimiter"):
        import_files(dat, items, tmp_path / "out")
    for wrong in ("::", '"', "\n"):
        with pytest.raises(UsageError, match="one character"):
            import_files(dat, items, tmp_path / "out", FileOptions(delimiter=wrong))
    assert import_files(dat, items, tmp_path / "out", FileOptions(delimiter=","))["users"] == 20


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_counted_or_refused(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes
) -> None:
    """Whatever stands between good rows, every row is either kept or quarantined."""
    folder = tmp_path_factory.mktemp("noise")
    good = "".join(f"{row}\n" for row in GOOD).encode()
    (folder / "items.csv").write_text(ITEMS)
    (folder / "log.csv").write_bytes(
        b"user_id,item_id,timestamp\n" + good + noise + b"\n" + good.replace(b"u", b"w")
    )
    report = import_files(
        folder / "log.csv", folder / "items.csv", folder / "out", FileOptions(max_bad_share=1.0)
    )
    log = report["interactions_file"]
    assert (
        log["kept"] + sum(log["quarantined"].values()) + sum(log["dropped"].values()) == log["read"]
    )
    # an open quote in the noise may cost the row that its end joins it to, never more
    assert log["kept"] >= 2 * len(GOOD) - 1


def test_users_of_whom_nothing_is_left_are_counted(files: Files, tmp_path: Path) -> None:
    lost = ["lost,i9,5", "lost,i1,yesterday", " lost ,i9,7", "other,i9,5", "u1,i9,5", ",i1,5"]
    report = import_files(*files([*GOOD, *lost]), tmp_path / "out")
    assert report["interactions_file"]["users_without_a_good_row"] == 2
    assert report["interactions_file"]["quarantined"] == {
        "unknown item": 4,
        "bad timestamp": 1,
        "empty user id": 1,
    }


def test_a_rating_that_nobody_asked_for_costs_no_row(files: Files, tmp_path: Path) -> None:
    rows = ["u1,i1,5,5", "u1,i2,6,", "u2,i1,7,good", "u2,i2,8,1e99", "u2,i2,8,1e98"]
    report = import_files(*files(rows, header="user_id,item_id,timestamp,rating"), tmp_path / "out")
    assert report["interactions_file"]["dropped"] == {"equal to an earlier row": 1}
    ratings = pq.read_table(tmp_path / "out" / "interactions.parquet")["rating"].to_pylist()
    assert ratings == [5.0, None, None, None]
    with pytest.raises(DataError, match="no column 'rating' that --min-rating"):
        import_files(*files(), tmp_path / "again", FileOptions(min_rating=3))
