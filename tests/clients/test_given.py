"""What a caller may give a recommender, and in what words the rest is refused."""

from __future__ import annotations

import numpy as np
import pytest
from recommenders import RECOMMENDERS

from dualtower.errors import UsageError
from dualtower_clients.testing import FakeServer

ITEMS = {f"i{number}": f"item number {number}" for number in range(8)}
TEXTS = ["item number 1", "rye\0bread\0"]


class Column(list):
    """As one of pandas: it is asked by labels, which begin at 7, and gone through by values."""

    def __getitem__(self, label):
        return super().__getitem__(label - 7)


class Table:
    """As one of pandas: going through it gives the names of its columns."""

    columns = ("text",)

    def __iter__(self):
        return iter(self.columns)


@pytest.fixture(scope="module")
def server():
    with FakeServer.with_bundle(ITEMS) as one:
        yield one


@pytest.fixture(scope="module", params=RECOMMENDERS)
def client(request, server):
    with RECOMMENDERS[request.param](server.address) as one:
        yield one


@pytest.mark.parametrize(
    "kind",
    [
        tuple,
        iter,
        lambda texts: (text for text in texts),
        lambda texts: dict.fromkeys(texts).keys(),
        lambda texts: np.array(texts, object),
        lambda texts: np.array([*texts[:1], "rye\0bread\0."]),
        Column,
        lambda texts: [np.str_(texts[0]), texts[1].encode()],
    ],
    ids=["tuple", "iterator", "generator", "keys", "objects", "numpy", "column", "entries"],
)
def test_all_that_holds_strings_in_an_order_is_a_list(kind, client, server):
    """Compared with what arrives, and not with the vectors alone."""
    sent = [text.encode() for text in (TEXTS if kind(TEXTS) is None else list(TEXTS))]
    if isinstance(kind(TEXTS), np.ndarray) and kind(TEXTS).dtype.kind == "U":
        sent[1] += b"."  # an array of fixed width drops NULs at the end before we see it
    server.calls.clear()
    client.embed_items(kind(TEXTS))
    client.embed_users([kind(TEXTS)])
    client.recommend(kind(TEXTS), k=np.int64(2), exclude=kind(["i1", "i2"]))
    by_model = {call.model: call.inputs for call in server.calls}
    assert by_model["item_tower"]["text"].tolist() == sent
    for model in ("user_tower", "recommender"):
        assert by_model[model]["history"][0].tolist()[:3] == [*sent, b""]


def test_what_is_excluded_needs_no_order(client):
    for excluded in ({"i1", "i3"}, frozenset(["i1", "i3"]), ["i3", "i1"], None):
        found = client.recommend([], k=8, exclude=excluded)
        assert {"i1", "i3"}.isdisjoint(found.item_ids) == (excluded is not None)


LISTS = {
    "None": (None, "got None"),
    "a number": (5, "got 5"),
    "not a number": (float("nan"), "got nan"),
    "a string": ("cj40885", "got the string 'cj40885'"),
    "bytes": (b"abc", "got the string b'abc'"),
    "a mapping": ({"a": 1}, r"got the mapping \{'a': 1\}; give its keys"),
    "a scalar array": (np.array("a"), "got array"),
    "a table": (Table(), "got a table; give one of its columns"),
    "None in it": (["a", None], "entry 1 of .* must be a string, got None"),
    "NaN in it": (["a", float("nan")], "entry 1 of .* must be a string, got nan"),
    "numbers": (np.arange(3), r"entry 0 of .* must be a string, got np\.int64\(0\)"),
    "lists": ([["a"]], r"entry 0 of .* must be a string, got \['a'\]"),
    "arrays": (np.array([["a"]]), "entry 0 of .* must be a string, got array"),
    "half a pair": (["a", "\ud800"], "entry 1 of .* half of a surrogate pair"),
    "no UTF-8": ([b"\xff"], "entry 0 of .* is no UTF-8"),
}


@pytest.mark.parametrize(("given", "words"), LISTS.values(), ids=LISTS)
def test_what_is_no_list_of_strings_is_refused_before_it_is_sent(given, words, client, server):
    server.calls.clear()
    asks = [
        lambda: client.recommend(given, k=1),
        lambda: client.recommend_by_ids(given, k=1),
        lambda: client.recommend_batch([[], given], k=1),
        lambda: client.embed_items(given),
        lambda: client.embed_users([given]),
        lambda: client.embed_users_by_ids([given]),
    ]
    if given is not None:
        asks.append(lambda: client.recommend([], k=1, exclude=given))
    for ask in asks:
        with pytest.raises(UsageError, match=words):
            ask()
    assert not server.calls


@pytest.mark.parametrize("given", [None, 5, "ab", ["ab"], {"a": ["b"]}, [5], [{"a"}]], ids=repr)
def test_what_are_no_histories_are_refused(given, client):
    for ask in (client.embed_users, client.embed_users_by_ids, client.recommend_batch):
        with pytest.raises(UsageError, match=r"(histories takes|a history is) a list of"):
            ask(given)


def test_a_set_is_no_history_and_no_list_to_embed(client):
    for ask in (client.recommend, client.recommend_by_ids, client.embed_items):
        with pytest.raises(UsageError, match="a set, which has no order"):
            ask({"a", "b"})


def test_a_history_may_be_a_row_of_an_array(client):
    rows = np.array([["item number 1", "item number 2"], ["item number 3", ""]])
    found = client.embed_users(rows).vectors
    assert found.tolist() == client.embed_users([list(row) for row in rows]).vectors.tolist()
    assert len(client.recommend_batch(rows, k=2)) == 2


@pytest.mark.parametrize("k", [None, "5", 2.0, float("nan"), True], ids=repr)
def test_k_is_a_whole_number(k, client):
    with pytest.raises(UsageError, match="k must be a whole number"):
        client.recommend([], k=k)


@pytest.mark.parametrize("timeout_s", ["5", float("nan"), float("-inf"), [1]], ids=repr)
def test_a_deadline_is_a_number(timeout_s, client):
    with pytest.raises(UsageError, match="timeout_s must be a number of seconds"):
        client.recommend([], k=1, timeout_s=timeout_s)


@pytest.mark.parametrize("timeout_s", [10**400, 1e300, np.float32(60)], ids=["int", "float", "f4"])
def test_a_long_deadline_is_one(timeout_s, client):
    assert client.recommend([], k=1, timeout_s=timeout_s).item_ids


@pytest.mark.parametrize("metadata", [None, 5, "ab", [("a",)], {"a": "b"}, [(5, "b")]], ids=repr)
def test_metadata_is_pairs(metadata, client):
    with pytest.raises(UsageError, match="metadata must be a list of pairs"):
        client.recommend([], k=1, metadata=metadata)


@pytest.mark.parametrize("kind", RECOMMENDERS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("version", "1"),
        ("version", -1),
        ("version", True),
        ("label", 5),
        ("label", ""),
        ("expect_fingerprint", 5),
        ("expect_fingerprint", ""),
        ("timeout_s", None),
        ("timeout_s", "x"),
        ("wait_s", None),
        ("wait_s", "x"),
    ],
)
def test_settings_that_are_none_are_refused(kind, name, value, server):
    with pytest.raises(UsageError, match=name):
        RECOMMENDERS[kind](server.address, **{name: value})
