"""What every backend promises: one test for each promise, run against each of them."""

from __future__ import annotations

import numpy as np
import pytest

from dualtower.bundle import Bundle
from dualtower.errors import UsageError
from dualtower_clients import BundleMismatch, Embeddings
from dualtower_clients.index import ItemIndex

EXACT = {"numpy", "usearch-exact", "faiss-flat"}


@pytest.fixture
def queries(catalogue) -> np.ndarray:
    """Near items, but none of them."""
    random = np.random.default_rng(3)
    near = catalogue.vectors[:20] + 0.1 * random.normal(size=(20, 16))
    return (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)


def overlap(found, expected) -> float:
    """The part of the best ids that was found, over all queries."""
    pairs = list(zip(found, expected, strict=True))
    return sum(len({*one.item_ids} & {*best}) for one, best in pairs) / sum(
        len(best) for _, best in pairs
    )


def embedded(vectors: np.ndarray, fingerprint: str, *, version: int) -> Embeddings:
    return Embeddings(
        vectors, version, fingerprint, elapsed_ms=1.0, address="localhost:8500", attempts=1
    )


def test_an_index_tells_what_it_holds(index, catalogue):
    bundle = Bundle.open(catalogue.path)
    assert index.fingerprint == bundle.fingerprint
    assert index.dim == bundle.dim
    assert len(index) == 540  # the blocked ones are not there
    assert "i0" in index
    assert "i9" not in index


def test_the_nearest_items_are_found(request, index, catalogue, queries):
    found = index.search(queries, 10)
    expected = [catalogue.best(query)[:10] for query in queries]
    assert overlap(found, expected) >= 0.95
    if request.node.callspec.params["backend"] in EXACT:
        assert [list(one.item_ids) for one in found] == expected


def test_scores_are_dot_products_and_do_not_rise(index, catalogue, queries):
    for query, one in zip(queries, index.search(queries, 50), strict=True):
        rows = [catalogue.rows[item_id] for item_id in one.item_ids]
        assert one.scores.dtype == np.float32
        np.testing.assert_allclose(one.scores, catalogue.vectors[rows] @ query, atol=1e-6)
        assert (np.diff(one.scores) <= 0).all()


def test_a_batch_is_its_rows(index, queries):
    alone = [index.search(query[np.newaxis], 5)[0].item_ids for query in queries]
    assert overlap(index.search(queries, 5), alone) >= 0.95


def test_no_queries_give_no_results(index):
    assert index.search(np.zeros((0, 16), np.float32), 3) == []


def test_excluded_items_are_left_out_for_their_query_alone(index, catalogue, queries):
    best = [catalogue.best(query)[:10] for query in queries]
    exclude = [ids[:4] if row % 2 else ["nobody", "i9"] for row, ids in enumerate(best)]
    left = [ids[4:] if row % 2 else ids[:6] for row, ids in enumerate(best)]
    found = index.search(queries, 6, exclude=exclude)
    assert not any({*one.item_ids} & {*ids} for one, ids in zip(found, exclude, strict=True))
    assert overlap(found, left) >= 0.95


def test_only_the_ids_of_a_filter_are_found(index, catalogue, queries):
    wanted = {f"i{row}" for row in range(0, 300, 3)} | {"nobody", "i9"}
    allowed = np.array([item_id in wanted for item_id in catalogue.item_ids])
    for form in (wanted, sorted(wanted), frozenset(wanted)):
        found = index.search(queries, 10, filter=form)
        assert all({*one.item_ids} <= wanted for one in found)
        assert overlap(found, [catalogue.best(q, allowed)[:10] for q in queries]) >= 0.95


def test_only_the_categories_of_a_filter_are_found(index, catalogue, queries):
    kinds = np.array(catalogue.categories)
    for wanted, allowed in (
        ("dairy", kinds == "dairy"),
        (["dairy", "bread"], kinds != ""),
        ("", kinds == ""),
    ):
        found = index.search(queries, 10, filter={"category": wanted})
        assert overlap(found, [catalogue.best(q, allowed)[:10] for q in queries]) >= 0.95


def test_a_function_may_be_a_filter(index, catalogue, queries):
    def wanted(item_id: str, category: str) -> bool:
        return item_id.endswith("7") and category != "bread"

    pairs = zip(catalogue.item_ids, catalogue.categories, strict=True)
    allowed = np.array([wanted(*pair) for pair in pairs])
    found = index.search(queries, 5, filter=wanted)
    assert overlap(found, [catalogue.best(q, allowed)[:5] for q in queries]) >= 0.95


def test_a_filter_that_leaves_nothing_finds_nothing(index, queries):
    for nothing in (set(), {"nobody"}, {"category": "wine"}, {"category": []}, lambda *_: False):
        for one in index.search(queries, 3, filter=nothing):
            assert one.item_ids == ()
            assert one.scores.shape == (0,)


def test_a_result_is_short_where_little_is_left(index, queries):
    few = ["i1", "i2", "i3", "i4"]
    exclude = [["i2", "i3", "i100"]] * len(queries)
    for one in index.search(queries, 10, filter=few, exclude=exclude):
        assert sorted(one.item_ids) == ["i1", "i4"]
    everything = index.search(queries[:1], 1400)[0]
    assert len(set(everything.item_ids)) == len(everything.item_ids) == len(index)


def test_added_items_are_found(changing, queries):
    changing.add(["new", "newer"], queries[:2], categories=["wine", ""])
    assert len(changing) == 542
    assert "new" in changing
    found = changing.search(queries[:2], 3)
    assert [one.item_ids[0] for one in found] == ["new", "newer"]
    assert changing.search(queries[:2], 3, filter={"category": "wine"})[1].item_ids == ("new",)


def test_removed_items_are_not_found(changing, catalogue, queries):
    gone = catalogue.best(queries[0])[:3]
    changing.remove(gone)
    assert len(changing) == 537
    allowed = ~np.isin(catalogue.item_ids, gone)
    found = changing.search(queries, 10)
    assert not any({*one.item_ids} & {*gone} for one in found)
    assert overlap(found, [catalogue.best(q, allowed)[:10] for q in queries]) >= 0.95
    changing.add(gone[:1], queries[:1])  # may come back
    assert changing.search(queries[:1], 1)[0].item_ids == (gone[0],)


def test_most_items_may_be_removed(changing, catalogue, queries):
    kept = [f"i{row}" for row in range(120) if row % 10 != 9]
    changing.remove([one for one in catalogue.item_ids if one in changing and one not in kept])
    assert len(changing) == 108
    allowed = np.arange(600) < 120
    found = changing.search(queries, 10)
    assert overlap(found, [catalogue.best(q, allowed)[:10] for q in queries]) >= 0.95
    changing.remove(kept)
    assert len(changing) == 0
    assert changing.search(queries[:1], 3)[0].item_ids == ()


def test_an_item_that_is_here_is_replaced_only_when_that_is_asked_for(changing, queries):
    with pytest.raises(UsageError, match=r"'i3' already in the index, nothing was added"):
        changing.add(["new", "i3"], queries[:2])
    assert "new" not in changing
    changing.add(["new", "i3"], queries[:2], categories=["", "wine"], replace=True)
    assert len(changing) == 541
    assert changing.search(queries[1:2], 1)[0].item_ids == ("i3",)
    assert changing.search(queries[1:2], 5, filter={"category": "wine"})[0].item_ids == ("i3",)


def test_equal_scores_stand_in_the_order_of_the_catalogue_then_of_adding(changing):
    twin = np.zeros((1, 16), np.float32)
    twin[0, 0] = 2
    changing.add(["z", "y", "x"], np.repeat(twin, 3, axis=0))
    changing.add(["a"], twin)
    changing.add(["i300", "y"], np.repeat(twin, 2, axis=0), replace=True)
    assert changing.search(twin, 5)[0].item_ids == ("i300", "z", "y", "x", "a")


def test_a_change_is_saved_and_opened_again(changing, backend, catalogue, queries, tmp_path):
    changing.remove(["i0", "i5"])
    changing.add(["neu ä", "q\"u'o\\te\n茶"], queries[:2], categories=["", 'w"'])
    changing.add(["i300"], queries[2:3], replace=True)
    changing.save(tmp_path / "shop.index")
    before = [one.item_ids for one in changing.search(queries, 10)]
    with ItemIndex.open(tmp_path / "shop.index", backend()) as opened:
        assert opened.fingerprint == changing.fingerprint
        assert len(opened) == len(changing)
        found = opened.search(queries, 10)
        assert overlap(found, before) >= 0.95
        opened.save(tmp_path / "again.index")
    with ItemIndex.open(tmp_path / "again.index", "numpy") as exact:
        assert len(exact) == len(changing)
        assert exact.search(queries[1:2], 1)[0].item_ids == ("q\"u'o\\te\n茶",)
        best = exact.search(queries[1:2], 3, filter={"category": 'w"'})[0].item_ids
        assert best == ("q\"u'o\\te\n茶",)
    assert {path.name for path in tmp_path.iterdir()} == {"shop.index", "again.index"}


def test_embeddings_of_the_same_bundle_are_searched_and_added(changing, queries):
    embeddings = embedded(queries, changing.fingerprint, version=1)
    assert (
        changing.search(embeddings, 3)[0].item_ids[0] == changing.search(queries, 1)[0].item_ids[0]
    )
    changing.add([f"new{row}" for row in range(20)], embeddings)
    assert changing.search(embeddings, 1)[4].item_ids == ("new4",)


def test_embeddings_of_another_bundle_are_refused(changing, queries):
    embeddings = embedded(queries, "f" * 64, version=7)
    for call in (lambda: changing.search(embeddings), lambda: changing.add(["new"], embeddings)):
        with pytest.raises(
            BundleMismatch, match="open the index of the bundle that is served"
        ) as e:
            call()
        assert changing.fingerprint in str(e.value)
        assert "f" * 64 in str(e.value)
        assert "version 7" in str(e.value)
    assert "new" not in changing


def test_an_expected_fingerprint_is_compared(backend, catalogue, other_catalogue):
    expected = Bundle.open(catalogue.path).fingerprint
    with pytest.raises(BundleMismatch, match="dualtower serve") as raised:
        ItemIndex.open(other_catalogue.path, backend(), expect_fingerprint=expected)
    assert expected in str(raised.value)
    assert Bundle.open(other_catalogue.path).fingerprint in str(raised.value)
    with ItemIndex.open(catalogue.path, backend(), expect_fingerprint=expected) as opened:
        assert opened.fingerprint == expected


def unusable(value: float) -> np.ndarray:
    vectors = np.ones((3, 16), np.float32)
    vectors[1, 5] = value
    return vectors


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        pytest.param(np.ones((1, 16)), r"float32, got float64.*astype", id="dtype"),
        pytest.param(np.ones((1, 4), np.float32), r"\[n, 16\], got \[1, 4\]", id="dim"),
        pytest.param(np.ones(16, np.float32), r"got \[16\]; for one vector", id="rank"),
        pytest.param([[1.0] * 16], "numpy array or Embeddings, got list", id="list"),
        pytest.param(unusable(np.nan), "row 1 holds NaN", id="nan"),
        pytest.param(unusable(-np.inf), "row 1 holds NaN, infinity", id="infinity"),
        pytest.param(unusable(1e30), "row 1 holds .* huge", id="overflow"),
    ],
)
def test_vectors_that_cannot_be_ranked_are_refused(index, vectors, message):
    with pytest.raises(UsageError, match=message):
        index.search(vectors, 3)
    with pytest.raises(UsageError, match=message):
        index.add(["new", "newer", "newest"], vectors)
    assert "new" not in index


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "3", None])
def test_k_must_be_a_whole_number(index, queries, k):
    with pytest.raises(UsageError, match="whole number of at least 1, got"):
        index.search(queries, k)


def test_lists_that_do_not_fit_are_refused(index, queries):
    with pytest.raises(UsageError, match="exclude has 2 lists for 20 queries"):
        index.search(queries, 3, exclude=[[], []])
    with pytest.raises(UsageError, match="list of ids for each query"):
        index.search(queries, 3, exclude=["i1"] * 20)
    with pytest.raises(UsageError, match=r"\{'category': ...\} or a function, got 'i1'"):
        index.search(queries, 3, filter="i1")
    with pytest.raises(UsageError, match=r"field 'category', got \['colour'\]"):
        index.search(queries, 3, filter={"colour": "red"})


@pytest.mark.parametrize(
    ("item_ids", "categories", "message"),
    [
        (["a", "b"], None, "got 2 ids, 3 vectors"),
        (["a", "b", "c"], ["x"], "3 vectors and 1 categories"),
        (["a", "b", "a"], None, "'a' given more than once"),
        (["a", "", "c"], None, "not empty, got ''"),
        (["a", 7, "c"], None, "a string that is not empty, got 7"),
        ("abc", None, "list of ids, got 'abc'"),
        (["a", "b", "c"], ["x", None, ""], "category must be a string, got None"),
    ],
)
def test_items_that_cannot_be_added_are_refused(index, queries, item_ids, categories, message):
    with pytest.raises(UsageError, match=message):
        index.add(item_ids, queries[:3], categories=categories)
    assert len(index) == 540


def test_removing_what_is_not_here_is_refused(index):
    with pytest.raises(UsageError, match=r"'nobody', 'i9' not in the index, nothing was removed"):
        index.remove(["i1", "nobody", "i9"])
    with pytest.raises(UsageError, match="'i1' given more than once"):
        index.remove(["i1", "i1"])
    assert "i1" in index


def test_nothing_added_and_nothing_removed_is_fine(index):
    index.add([], np.zeros((0, 16), np.float32))
    index.remove([])
    assert len(index) == 540
