"""Every search in the graph against a stable sort of all scores in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtower_export.catalogue_graph import CatalogueGraph
from dualtower_export.catalogue_index import CatalogueIndex
from dualtower_export.exact_search import CodedSearch, ExactSearch
from dualtower_export.index_codes import encode
from dualtower_export.ivf_lists import build_lists
from dualtower_export.ivf_search import IvfSearch
from dualtower_export.op_list import foreign_ops

DTYPES = ("float32", "float16", "int8")
PIECES = (1, 500, 1 << 22)  # scores at a time: chunks of one block, of a few, the whole


def brute_force(vectors, users, blocked, excluded, k):
    """Scores [users, k] and rows; float64, -inf and row -1 where nothing is left."""
    scores = users.astype(np.float64) @ vectors.astype(np.float64).T
    scores[:, blocked] = -np.inf
    scores[excluded[:, 0], excluded[:, 1]] = -np.inf
    scores = np.pad(scores, [(0, 0), (0, k)], constant_values=-np.inf)
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(scores, rows, axis=1)
    return best, np.where(np.isneginf(best), -1, rows)


def exact(vectors, blocked, k, dtype="float32", pieces=1 << 22, oversample=2):
    table = tf.Variable(vectors, dtype=tf.float32)
    if dtype == "float32":
        return ExactSearch(table, blocked, k, scores_at_a_time=pieces)
    codes = encode(vectors[:, :-2], dtype)
    return CodedSearch(codes, table, blocked, k, oversample, scores_at_a_time=pieces)


def inverted(vectors, blocked, k, *, dtype="float32", lists=0, probes=1, oversample=2):
    codes = None if dtype == "float32" else encode(vectors[:, :-2], dtype)
    built = build_lists(vectors[:, :-2], np.flatnonzero(~blocked), lists, seed=0)
    return IvfSearch(built, tf.Variable(vectors), codes, k, probes, oversample)


def found(search, users, excluded):
    function = tf.function(
        search.__call__,
        input_signature=[
            tf.TensorSpec([None, users.shape[1]], tf.float32), tf.TensorSpec([None, 2], tf.int32),
        ], autograph=False,
    )  # fmt: skip
    scores, rows = (part.numpy() for part in function(users, excluded))
    return scores, np.where(np.isneginf(scores), -1, rows)


def people(random, count, dim):
    """Users of length 1, whose weight and rest are 0."""
    users = random.normal(size=(count, dim)).astype(np.float32)
    users[:, -2:] = 0
    return users / np.linalg.norm(users, axis=1, keepdims=True)


def catalogue(random, items, dim, distinct=None):
    """Tastes of very different lengths, filled up to length 1; `distinct` rows, repeated."""
    count = distinct or items
    tastes = random.normal(size=(count, dim - 2))
    tastes *= np.minimum(0.1 * np.exp(0.7 * random.normal(size=(count, 1))), 0.9) / np.linalg.norm(
        tastes, axis=1, keepdims=True
    )
    weight = 0.05 * random.normal(size=(count, 1))
    rest = np.sqrt(np.maximum(1 - (tastes**2).sum(1, keepdims=True) - weight**2, 0))
    vectors = np.concatenate([tastes, weight, rest], axis=1).astype(np.float32)
    return vectors[random.integers(count, size=items)] if distinct else vectors


def pairs(random, users, items, count):
    return np.stack(
        [random.integers(users, size=count), random.integers(items, size=count)], axis=1
    ).astype(np.int32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pieces", PIECES)
def test_exact_lists_in_every_precision_and_chunking(dtype: str, pieces: int) -> None:
    random = np.random.default_rng(3)
    vectors, users = catalogue(random, 1_003, 18), people(random, 5, 18)
    blocked = random.random(1_003) < 0.1
    excluded = pairs(random, 5, 1_003, 400)
    scores, rows = found(exact(vectors, blocked, 37, dtype, pieces), users, excluded)
    best, wanted = brute_force(vectors, users, blocked, excluded, 37)
    np.testing.assert_allclose(scores, best, atol=1e-6)
    assert np.array_equal(rows, wanted)


def ties(distinct: int):
    """Rows that coincide, so that their scores do: vectors, users, blocked, excluded.

    Numbers are multiples of 1/64, so that sums are exact in whatever order a processor takes them.
    """
    random = np.random.default_rng(distinct)
    vectors, users = (
        np.round(part * 64) / np.float32(64)
        for part in (catalogue(random, 700, 10, distinct), people(random, 3, 10))
    )
    return vectors, users, random.random(700) < 0.2, pairs(random, 3, 700, 90)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pieces", PIECES)
@pytest.mark.parametrize("distinct", [1, 2, 9, 60])
def test_of_equal_scores_the_lower_row_first(dtype: str, pieces: int, distinct: int) -> None:
    """The list is that of a stable sort."""
    vectors, users, blocked, excluded = ties(distinct)
    rows = found(exact(vectors, blocked, 50, dtype, pieces), users, excluded)[1]
    assert np.array_equal(rows, brute_force(vectors, users, blocked, excluded, 50)[1])


@pytest.mark.parametrize(
    ("dtype", "distinct"),
    # few codes: the ties of the last one all count
    [("float32", 60), *((dtype, distinct) for dtype in DTYPES for distinct in (1, 2, 9))],
)
def test_in_an_inverted_file_too(dtype: str, distinct: int) -> None:
    vectors, users, blocked, excluded = ties(distinct)
    search = inverted(vectors, blocked, 50, dtype=dtype, probes=700, oversample=3)
    rows = found(search, users, excluded)[1]
    assert np.array_equal(rows, brute_force(vectors, users, blocked, excluded, 50)[1])


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_whole_numbers_with_many_ties(data: st.DataObject) -> None:
    items, users = data.draw(st.integers(1, 80)), data.draw(st.integers(0, 3))
    k = data.draw(st.integers(1, 12))
    small = st.integers(-2, 2)
    drawn = data.draw(st.lists(small, min_size=items * 2, max_size=items * 2))
    vectors = np.zeros((items, 4), np.float32)
    vectors[:, :2] = np.array(drawn, np.float32).reshape(items, 2) / 4
    asked = np.zeros((users, 4), np.float32)
    asked[:, :2] = np.array(
        data.draw(st.lists(small, min_size=users * 2, max_size=users * 2)), np.float32
    ).reshape(users, 2)
    blocked = np.array(data.draw(st.lists(st.booleans(), min_size=items, max_size=items)))
    pair = st.tuples(st.integers(0, max(users - 1, 0)), st.integers(0, items - 1))
    drawn_pairs = data.draw(st.lists(pair, max_size=40)) if users else []
    excluded = np.array(drawn_pairs, np.int32).reshape(-1, 2)
    best, wanted = brute_force(vectors, asked, blocked, excluded, k)
    searches = [
        exact(
            vectors, blocked, k, data.draw(st.sampled_from(DTYPES)), data.draw(st.integers(1, 99))
        )
    ]
    if not blocked.all():
        searches.append(inverted(vectors, blocked, k, probes=items))
    for search in searches:
        scores, rows = search(tf.constant(asked), tf.constant(excluded))
        assert np.array_equal(scores.numpy(), best)
        assert np.array_equal(np.where(np.isneginf(best), -1, rows.numpy()), wanted)


def test_an_unproven_list_is_ranked_over_the_float_table() -> None:
    """Items closer together than int8 can tell: the proof fails, and the answer is exact."""
    random = np.random.default_rng(8)
    tastes = 0.5 + 1e-5 * random.normal(size=(900, 6))
    tastes[17] = 0.1  # one user finds a clear list, the others none
    vectors = np.concatenate([tastes / 4, np.zeros((900, 2))], axis=1).astype(np.float32)
    users = np.abs(people(random, 4, 8))
    blocked, excluded = np.zeros(900, bool), pairs(random, 4, 900, 300)
    search = exact(vectors, blocked, 10, "int8", pieces=512, oversample=1)
    scores, rows = found(search, users, excluded)
    plain = found(exact(vectors, blocked, 10, pieces=512), users, excluded)
    assert np.array_equal(rows, plain[1])
    assert np.array_equal(scores, plain[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_inverted_file_read_whole_is_exact(dtype: str) -> None:
    random = np.random.default_rng(4)
    vectors, users = catalogue(random, 800, 18), people(random, 4, 18)
    blocked, excluded = random.random(800) < 0.1, pairs(random, 4, 800, 200)
    search = inverted(vectors, blocked, 30, dtype=dtype, lists=25, probes=99, oversample=4)
    scores, rows = found(search, users, excluded)
    best, wanted = brute_force(vectors, users, blocked, excluded, 30)
    np.testing.assert_allclose(scores, best, atol=1e-6)
    assert np.array_equal(rows, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_inverted_file_reads_on_until_the_list_is_full(dtype: str) -> None:
    random = np.random.default_rng(5)
    vectors, users = catalogue(random, 300, 10), people(random, 2, 10)
    blocked = np.zeros(300, bool)
    # the first user has excluded all but 12 items, the second nothing
    kept = random.permutation(300)[:12]
    excluded = np.array([[0, row] for row in range(300) if row not in kept] * 2, np.int32)
    search = inverted(vectors, blocked, 20, dtype=dtype, lists=30, probes=1)
    scores, rows = found(search, users, excluded)
    assert set(rows[0, :12]) == set(kept)
    assert (rows[0, 12:] == -1).all()
    assert np.isneginf(scores[0, 12:]).all()
    assert len(set(rows[1])) == 20
    assert (rows[1] >= 0).all()
    assert (np.diff(scores[1]) <= 0).all()
    own = (users[1] * vectors[rows[1]]).sum(axis=1)
    np.testing.assert_allclose(scores[1], own, atol=1e-6)


@pytest.mark.parametrize("make", [exact, inverted])
def test_when_everything_is_excluded_the_list_is_empty(make) -> None:
    vectors = np.eye(5, dtype=np.float32)[:3]
    search = make(vectors, np.array([False, True, False]), 2)
    everything = np.array([[0, 0], [0, 2], [0, 1], [0, 2]], np.int32)
    scores, rows = found(search, people(np.random.default_rng(0), 1, 5), everything)
    assert np.isneginf(scores).all()
    assert rows.tolist() == [[-1, -1]]


@pytest.mark.parametrize("make", [exact, inverted])
def test_no_users_and_more_places_than_items(make) -> None:
    random = np.random.default_rng(0)
    vectors, none = catalogue(random, 3, 6), np.zeros((0, 2), np.int32)
    search = make(vectors, np.zeros(3, bool), 8)
    assert found(search, np.zeros((0, 6), np.float32), none)[0].shape == (0, 8)
    users = people(random, 2, 6)
    scores, rows = found(search, users, none)
    assert np.array_equal(rows, brute_force(vectors, users, np.zeros(3, bool), none, 8)[1])
    assert np.isneginf(scores[:, 3:]).all()


def test_a_million_scores_are_never_there_at_once() -> None:
    """The largest tensor of the graph's run is a chunk, not the matrix."""
    random = np.random.default_rng(1)
    vectors = catalogue(random, 20_000, 6)
    search = exact(vectors, np.zeros(20_000, bool), 5, pieces=64_000)
    sizes = []
    real = tf.matmul

    def spy(left, right, **options):
        product = real(left, right, **options)
        sizes.append(product.shape)
        return product

    users, none = people(random, 32, 6), np.zeros((0, 2), np.int32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf, "matmul", spy)
        rows = search(tf.constant(users), tf.constant(none))[1].numpy()  # eager: shapes are known
    assert max(shape[0] * shape[1] for shape in sizes) <= 64_000
    assert sum(shape[0] for shape in sizes) == 20_000
    assert np.array_equal(rows, brute_force(vectors, users, np.zeros(20_000, bool), none, 5)[1])


def test_no_search_makes_the_server_copy_its_table() -> None:
    """A ResourceGather of a variable lets every later read of it copy the whole."""
    random = np.random.default_rng(2)
    vectors, blocked = catalogue(random, 90, 6), np.zeros(90, bool)
    rows = [str(row) for row in range(90)]
    graph = CatalogueGraph(CatalogueIndex.of(rows, rows), vectors)
    lookup = tf.function(
        graph.vectors_of_rows, input_signature=[tf.TensorSpec([None], tf.int32)], autograph=False
    )
    functions = [lookup.get_concrete_function()]
    for search in (
        exact(vectors, blocked, 5),
        exact(vectors, blocked, 5, "int8"),
        inverted(vectors, blocked, 5),
        inverted(vectors, blocked, 5, dtype="float16"),
    ):
        function = tf.function(
            search.__call__,
            input_signature=[
                tf.TensorSpec([None, 6], tf.float32), tf.TensorSpec([None, 2], tf.int32),
            ], autograph=False,
        )  # fmt: skip
        functions.append(function.get_concrete_function())
    for function in functions:
        definition = function.graph.as_graph_def()
        nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
        ops = {node.op for node in nodes}
        assert "ReadVariableOp" in ops
        assert not {op for op in ops if op.startswith("Resource")}
        assert foreign_ops(ops) == []
