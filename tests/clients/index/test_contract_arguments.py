"""What is no id, no category or no backend is refused by every backend, in the same words."""

from __future__ import annotations

import numpy as np
import pytest

from dualtower.errors import UsageError
from dualtower_clients.index import ItemIndex, UsearchBackend

HALF = "\ud800"  # of a surrogate pair, which UTF-8 has no bytes for


@pytest.fixture
def query() -> np.ndarray:
    return np.eye(1, 16, dtype=np.float32)


@pytest.mark.parametrize(
    ("filter", "message"),
    [
        ({1, 2}, "an id of a filter must be a string, got [12]"),
        ([None], "an id of a filter must be a string, got None"),
        ([b"i1"], "an id of a filter must be a string, got b'i1'"),
        ([HALF], r"an id of a filter must be a text that UTF-8 holds, got '\\ud800'"),
        ({"category": [1]}, "a category of a filter must be a string, got 1"),
        ({"category": None}, "a category of a filter must be a string or a list of them, got None"),
        ({"category": 5}, "a category of a filter must be a string or a list of them, got 5"),
        ({"category": b"dairy"}, "must be a string or a list of them, got b'dairy'"),
        ({"category": {"dairy": 1}}, "must be a string or a list of them, got {'dairy': 1}"),
        ({"category": HALF}, "a category of a filter must be a text that UTF-8 holds"),
        (5, r"\{'category': ...\} or a function, got 5"),
    ],
    ids=ascii,
)
def test_a_filter_is_of_texts(index, query, filter, message):
    with pytest.raises(UsageError, match=message):
        index.search(query, 3, filter=filter)


@pytest.mark.parametrize(
    ("exclude", "message"),
    [
        ([[5]], "an excluded id must be a string, got 5"),
        ([[None]], "an excluded id must be a string, got None"),
        ([[HALF]], "an excluded id must be a text that UTF-8 holds"),
        ([5], r"a list of ids for each query, got \[5\]"),
        ([{"i1": 1}], "a list of ids for each query"),
        (5, "a list of ids for each query, got 5"),
        ({"i1": 1}, "a list of ids for each query"),
    ],
    ids=ascii,
)
def test_excluded_ids_are_texts(index, query, exclude, message):
    with pytest.raises(UsageError, match=message):
        index.search(query, 3, exclude=exclude)


def test_none_excludes_nothing(index, query):
    (all_of_them,) = index.search(query, 3)
    for exclude in (None, [None], [()], [np.array([], str)]):
        assert index.search(query, 3, exclude=exclude)[0].item_ids == all_of_them.item_ids
    (others,) = index.search(query, 3, exclude=[np.array(all_of_them.item_ids)])
    assert not {*others.item_ids} & {*all_of_them.item_ids}


@pytest.mark.parametrize(
    ("item_ids", "categories", "message"),
    [
        ([HALF], None, "an id must be a text that UTF-8 holds, got"),
        (["new"], [HALF], "a category must be a text that UTF-8 holds, got"),
        (["new"], "x", "categories must be a list of strings, got 'x'"),
        (["new"], 5, "categories must be a list of strings, got 5"),
        (None, None, "item_ids must be a list of ids, got None"),
        ({"new": 1}, None, "item_ids must be a list of ids"),
    ],
    ids=ascii,
)
def test_an_item_is_named_by_text(index, query, item_ids, categories, message):
    with pytest.raises(UsageError, match=message):
        index.add(item_ids, query, categories=categories)
    assert len(index) == 540


def test_what_is_no_id_is_not_here(index):
    for item_id in (5, None, b"i1", HALF, "", ("i1",)):
        assert item_id not in index
    for item_id in (5, None, HALF, ""):
        with pytest.raises(UsageError, match="an id must be"):
            index.remove([item_id])
    with pytest.raises(UsageError, match="a list of ids, got 5"):
        index.remove(5)


def test_nothing_works_on_a_closed_index(backend, catalogue, query, tmp_path):
    index = ItemIndex.open(catalogue.path, backend())
    index.close()
    index.close()  # once more does no harm
    for call in (
        lambda: index.search(query, 3),
        lambda: index.search(query[:0], 3),
        lambda: index.add(["new"], query),
        lambda: index.add([], query[:0]),
        lambda: index.remove(["i1"]),
        lambda: index.save(tmp_path / "saved.index"),
        lambda: len(index),
        lambda: "i1" in index,
    ):
        with pytest.raises(UsageError, match=r"was closed; open it again with ItemIndex\.open"):
            call()
    assert (index.dim, len(index.fingerprint)) == (16, 64)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [3, None, UsearchBackend, {"uri": "items.db"}, ["numpy"]])
def test_a_backend_is_a_name_or_settings(catalogue, wrong):
    with pytest.raises(UsageError, match="backend must be a name or settings such as"):
        ItemIndex.open(catalogue.path, wrong)


@pytest.mark.parametrize("value", [2.5, "16", None, True])
def test_settings_of_a_graph_are_whole_numbers(value):
    for name in ("connectivity", "expansion_add", "expansion_search"):
        with pytest.raises(UsageError, match=f"{name} must be a whole number, got"):
            UsearchBackend(**{name: value})
