"""Which records are rows, and why the others are not."""

from __future__ import annotations

import pytest

from dualtower_clients.bulk.records import Record, Row
from dualtower_clients.bulk.rows import MAX_HISTORY_ITEMS, MAX_ID_BYTES, Judge, Unfit, shown_id

ITEMS = Judge(id_column="id", content_column="text", is_of_users=False, max_text_bytes=100)
USERS = Judge(id_column="id", content_column="seen", is_of_users=True, max_text_bytes=100)


@pytest.mark.parametrize("text", ["x", " x ", "a\0b", "Ærø 🧀", "ü" * 50], ids=ascii)
def test_a_text_is_kept_as_it_is(text):
    assert ITEMS.row(Record(1, "a", text)) == Row("a", text, len(text.encode()))


@pytest.mark.parametrize(
    ("item_id", "text", "reason"),
    [
        (None, "x", "id is null"),
        ("", "x", "id is empty"),
        (5, "x", "id is a number, not a string"),
        (b"\xff", "x", "id is no UTF-8"),
        ("\ud800", "x", "id is no UTF-8"),
        ("i" * (MAX_ID_BYTES + 1), "x", f"id is longer than {MAX_ID_BYTES} bytes"),
        ("a", None, "text is null"),
        ("a", "", "text is empty"),
        ("a", " \n\u3000", "text is empty"),
        ("a", 1.5, "text is a number, not a string"),
        ("a", True, "text is a boolean, not a string"),
        ("a", ["x"], "text is a list, not a string"),
        ("a", {"x": 1}, "text is an object, not a string"),
        ("a", "x\udfff", "text is no UTF-8"),
        ("a", "x" * 101, "text is longer than 100 bytes"),
        ("a", "ü" * 51, "text is longer than 100 bytes"),
        ("a", "x" * 1_000_000, "text is longer than 100 bytes"),
    ],
    ids=str,
)
def test_what_is_no_item_has_a_reason(item_id, text, reason):
    with pytest.raises(Unfit) as caught:
        ITEMS.row(Record(1, item_id, text))
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        (None, "seen is null"),
        ("x", "seen is a string, not a list of strings"),
        (7, "seen is a number, not a list of strings"),
        (["x", None], "an entry of seen is null"),
        ([["x"]], "an entry of seen is a list, not a string"),
        (["x" * 60, "y" * 60], "seen is longer than 100 bytes"),
        ([""] * (MAX_HISTORY_ITEMS + 1), f"seen has more than {MAX_HISTORY_ITEMS} entries"),
    ],
    ids=["null", "text", "number", "entry", "nested", "long", "many"],
)
def test_what_is_no_history_has_a_reason(history, reason):
    with pytest.raises(Unfit) as caught:
        USERS.row(Record(1, "u", history))
    assert str(caught.value) == reason


def test_a_history_may_be_empty():
    assert USERS.row(Record(1, "u", [])) == Row("u", (), 0)
    assert USERS.row(Record(1, "u", ["x", ""])) == Row("u", ("x", ""), 1)


def test_what_could_not_be_read_keeps_its_problem():
    with pytest.raises(Unfit, match="no JSON"):
        ITEMS.row(Record(1, None, None, "the line is no JSON"))


@pytest.mark.parametrize(
    ("item_id", "shown"),
    [(None, None), (5, "5"), (b"a\xff", "a\\xff"), ("\ud800", "\\ud800"), ("i" * 999, "i" * 200)],
    ids=["null", "number", "bytes", "half a pair", "long"],
)
def test_the_id_of_a_bad_row_is_shown_as_far_as_it_can_be(item_id, shown):
    assert shown_id(Record(1, item_id, "x")) == shown
