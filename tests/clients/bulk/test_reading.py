"""What the readers make of files, good and bad, and from any row on."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bulk_runs import items, write_jsonl, write_parquet

from dualtower.errors import DataError
from dualtower_clients.bulk.inputs import find
from dualtower_clients.bulk.line_records import MAX_LINE_BYTES
from dualtower_clients.bulk.marks import Mark, Marks
from dualtower_clients.bulk.options import BulkOptions
from dualtower_clients.bulk.reading import known_rows, read
from dualtower_clients.bulk.records import Record


def records(*paths, skip=0, **options):
    found = read(find(paths), BulkOptions(**options), skip=skip)
    return [record for _, record in found]


def mixed(folder):
    """Files of every kind; Parquet with row groups that no batch ends with."""
    names = ["1.parquet", "2.jsonl", "3.csv", "4.parquet"]
    write_parquet(folder / names[0], items(700), row_group_size=90)
    write_jsonl(folder / names[1], items(30, first=700))
    text = "".join(f"{item_id},{text}\r\n" for item_id, text in items(40, first=730))
    (folder / names[2]).write_text("item_id,text\n" + text)
    write_parquet(folder / names[3], items(13, first=770))
    return [folder / name for name in names]


@pytest.mark.parametrize(
    "skip", [0, 1, 89, 90, 91, 512, 699, 700, 701, 730, 745, 770, 782, 783, 900]
)
def test_reading_goes_on_at_any_row(skip, tmp_path):
    paths = mixed(tmp_path)
    whole = list(read(find(paths), BulkOptions()))
    assert [record.item_id for _, record in whole] == [f"i{n}" for n in range(783)]
    assert list(read(find(paths), BulkOptions(), skip=skip)) == whole[skip:]


LINES = {
    "1.jsonl": '\ufeff{"item_id": "a"}\n\n \r\n{"item_id": "é", "text": "茶"}\r\n[]\nno JSON\n'
    '{"item_id": "b"}\n\n{"item_id": "last"}',
    "2.csv": '\ufeffitem_id,text\r\na,x\r\n\r\n"b","two\nlines, ""quoted"""\nc,\r\n'
    '"d\n\n","é\r\n茶"\ne,too,many\n"f",x',
    "3.csv": 'text,"item\nid",item_id\n"\n\n",,g\n\nx,,h\n',
    "4.csv": "item_id,text\n",
    "5.jsonl": "\n\n",
}


def marked(folder):
    """Files of lines of every kind, with a packed one and Parquet between them."""
    for name, text in LINES.items():
        (folder / name).write_bytes(text.encode())
    long = b'{"item_id": "' + b"x" * MAX_LINE_BYTES + b'"}\n{"item_id": "m"}\n'
    (folder / "6.jsonl").write_bytes(long)
    (folder / "7.jsonl.gz").write_bytes(gzip.compress(LINES["1.jsonl"].encode()))
    write_parquet(folder / "8.parquet", items(3))
    write_jsonl(folder / "9.jsonl", items(3))
    return find(sorted(folder.iterdir()))


@pytest.mark.parametrize("every", [1, 2, 5])
def test_from_each_mark_on_the_rest_is_read(every, tmp_path):
    files, options, marks = marked(tmp_path), BulkOptions(), Marks(every)
    whole = list(read(files, options, marks=marks))
    known = 0
    for place in range(every, len(whole) + 1, every):
        begin = Mark.of({"next_record": marks.taken(place)})
        known += begin is not None
        again = Marks(every)
        rest = list(read(files, options, skip=place, begin=begin, marks=again))
        assert rest == whole[place:]
        assert begin is None or begin.file == next(
            number for number, file in enumerate(files) if file.path.name == whole[place - 1][0]
        )
    assert known >= (len(whole) - 5 - 3) // every - 1, "all but what is packed, and Parquet"


def test_what_lies_before_a_mark_is_not_read(tmp_path):
    """It is overwritten: by bytes that would be other records, or none."""
    path, marks = tmp_path / "a.csv", Marks(2)
    path.write_text('item_id,text\na,"x\n"\nb,y\nc,z\n')
    whole = list(read(find([path]), BulkOptions(), marks=marks))
    begin = Mark.of({"next_record": marks.taken(2)})
    assert begin.line == 4
    head, _, tail = path.read_bytes()[: begin.offset].partition(b"\n")
    path.write_bytes(head + b"\n" + b'"' * len(tail) + path.read_bytes()[begin.offset :])
    assert list(read(find([path]), BulkOptions(), skip=2, begin=begin)) == whole[2:]


def test_rows_are_counted_where_files_say_them(tmp_path):
    paths = mixed(tmp_path)
    assert known_rows(find([paths[0], paths[3]])) == 713
    assert known_rows(find(paths)) is None


def test_lines_are_those_of_an_editor(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('text,item_id\nx,1\n\n"y\nz",2\n')
    assert records(path) == [Record(2, "1", "x"), Record(5, "2", "y\nz")]
    path = tmp_path / "a.jsonl"
    path.write_text('\ufeff{"item_id": "1", "text": "x"}\n\n \n{"text": "y", "item_id": "2"}')
    assert records(path) == [Record(1, "1", "x"), Record(4, "2", "y")]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"item_id": "a", "text": "\xff"}', "the line is no UTF-8"),
        (b'{"item_id": "a", "text": ', "the line is no JSON"),
        (b'["a", "b"]', "the line is no JSON object"),
        (b"[" * 100_000, "the line is no JSON"),
        (b'"' + b"a" * MAX_LINE_BYTES + b'"', f"the line is longer than {MAX_LINE_BYTES} bytes"),
    ],
    ids=["no UTF-8", "cut off", "a list", "deep", "long"],
)
def test_a_line_that_cannot_be_read_is_a_record_with_its_problem(line, problem, tmp_path):
    good = b'{"item_id": "b", "text": "x"}'
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([good, line, good]))
    found = records(tmp_path / "a.jsonl")
    assert found == [Record(1, "b", "x"), Record(2, None, None, problem), Record(3, "b", "x")]


def test_a_csv_cell_that_is_no_utf8_comes_as_its_bytes(tmp_path):
    (tmp_path / "a.csv").write_bytes("item_id,text\na,\xff\nb,ü\n".encode("latin-1"))
    found = records(tmp_path / "a.csv")
    assert [record.content for record in found] == [b"\xff", b"\xfc"]


def test_a_csv_row_of_another_width_has_a_problem(tmp_path):
    (tmp_path / "a.csv").write_text("item_id,text\na\nb,x,y\nc,z\n")
    found = records(tmp_path / "a.csv")
    assert [bool(record.problem) for record in found] == [True, True, False]


def test_a_quote_that_is_never_closed_is_an_error_with_its_line(tmp_path):
    lines = ("y" * 1023 + "\n") * (MAX_LINE_BYTES // 1024 + 1)
    (tmp_path / "a.csv").write_text(f'item_id,text\na,x\nb,"{lines}')
    with pytest.raises(DataError, match=r"near line \d+: .*quote left open"):
        records(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("item_id,text\na," + "y" * MAX_LINE_BYTES)
    with pytest.raises(DataError, match=r"near line 1: .*is longer"):
        records(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl.gz", gzip.compress(b'{"item_id": "a", "text": "x"}\n' * 1000)[:-20]),
        ("a.csv.gz", b"no gzip at all"),
        ("a.parquet", b"PAR1 no Parquet at all PAR1"),
        ("a.csv", b""),
    ],
    ids=["cut gzip", "no gzip", "no Parquet", "no header"],
)
def test_a_broken_file_is_an_error_that_names_it(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        records(tmp_path / name)


def binary(*values):
    """Any bytes as Arrow's strings, as a careless writer puts them down."""
    return pa.array(values, pa.binary()).view(pa.string())


def test_parquet_strings_that_are_no_utf8_come_as_bytes(tmp_path):
    table = pa.table({"item_id": binary(b"a", b"\xff", None), "text": binary(b"\xfe", b"x", b"y")})
    pq.write_table(table, tmp_path / "a.parquet")
    found = [(record.item_id, record.content) for record in records(tmp_path / "a.parquet")]
    assert found == [("a", b"\xfe"), (b"\xff", "x"), (None, "y")]


def test_histories_with_entries_that_are_no_utf8_keep_the_others(tmp_path):
    entries = binary(b"a", b"\xff", None, b"b")
    lists = pa.ListArray.from_arrays(pa.array([0, 2, 3, 3, 4]), entries)
    pq.write_table(pa.table({"item_id": list("wxyz"), "history": lists}), tmp_path / "a.parquet")
    found = [record.content for record in records(tmp_path / "a.parquet", model="user_tower")]
    assert found == [["a", b"\xff"], [None], [], ["b"]]


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())],
    ids=["string", "large", "dictionary"],
)
def test_every_kind_of_string_column_is_read(kind, tmp_path):
    column = pa.array(["x", None, "x"]).cast(kind)
    pq.write_table(pa.table({"item_id": column, "text": column}), tmp_path / "a.parquet")
    assert [record.content for record in records(tmp_path / "a.parquet")] == ["x", None, "x"]
