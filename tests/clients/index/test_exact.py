"""The exact scan against brute force in more digits, in chunks of every size."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtower_clients.index import exact
from dualtower_clients.index.exact import best_rows


def brute_force(vectors, query, k, allowed):
    scores = (vectors.astype(np.longdouble) @ query.astype(np.longdouble)).astype(np.float32)
    order = [row for row in np.lexsort((np.arange(len(scores)), -scores)) if allowed[row]][:k]
    return order, scores[order]


def search(vectors, queries, k, *, barred=None, rows=None):
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    barred = barred or [[]] * len(queries)
    return best_rows(
        vectors,
        queries,
        k,
        [np.array(sorted(some), np.int64) for some in barred],
        longest=float(lengths.max(initial=0)) * (1 + 1e-6),
        rows=rows,
    )


def check(vectors, queries, k, *, barred=None, rows=None):
    found = search(vectors, queries, k, barred=barred, rows=rows)
    assert len(found) == len(queries)
    for place, (query, (got, scores)) in enumerate(zip(queries, found, strict=True)):
        allowed = np.ones(len(vectors), bool)
        if rows is not None:
            allowed[:] = False
            allowed[rows] = True
        if barred:
            allowed[list(barred[place])] = False
        wanted, values = brute_force(vectors, query, k, allowed)
        assert got.tolist() == wanted
        np.testing.assert_array_equal(scores, values)


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of a few groups, so that a small table has many of them."""
    monkeypatch.setattr(exact, "_SCORES_AT_A_TIME", 256)


@pytest.mark.parametrize("k", [1, 7, 100, 5000])
@pytest.mark.parametrize("batch", [1, 3, 300])
def test_results_are_those_of_brute_force(k, batch):
    random = np.random.default_rng(5)
    vectors = random.normal(size=(3000, 12)).astype(np.float32)
    queries = random.normal(size=(batch, 12)).astype(np.float32)
    check(vectors, queries, k)


@given(data=st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_ties_exclusions_and_filters_are_those_of_brute_force(data):
    random = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    count = data.draw(st.integers(1, 400))
    vectors = random.integers(-2, 3, size=(count, 3)).astype(np.float32)  # most scores are shared
    queries = random.integers(-2, 3, size=(data.draw(st.integers(1, 5)), 3)).astype(np.float32)
    barred = [random.choice(count, random.integers(0, count), replace=False) for _ in queries]
    rows = None
    if data.draw(st.booleans()):
        rows = np.flatnonzero(random.random(count) < 0.4)
    check(vectors, queries, data.draw(st.integers(1, 450)), barred=barred, rows=rows)


@pytest.mark.usefixtures("small_chunks")
def test_chunks_do_not_show():
    random = np.random.default_rng(6)
    vectors = random.normal(size=(4000, 5)).astype(np.float32)
    vectors[1000:3000] = vectors[:2000]  # twins, chunks apart
    queries = random.normal(size=(4, 5)).astype(np.float32)
    barred = [random.choice(4000, 50, replace=False) for _ in queries]
    check(vectors, queries, 9, barred=barred)
    check(vectors, queries, 9, barred=barred, rows=np.arange(3, 4000, 7))


def test_equal_vectors_have_equal_scores_wherever_they_stand():
    random = np.random.default_rng(7)
    twin, query = random.normal(size=(2, 1, 33)).astype(np.float32)
    vectors = np.repeat(twin, 1001, axis=0)
    ((rows, scores),) = search(vectors, query, 1001)
    assert rows.tolist() == list(range(1001))
    assert len(np.unique(scores)) == 1


def test_scores_that_differ_in_the_last_digit_are_kept_apart():
    random = np.random.default_rng(8)
    base = random.normal(size=64).astype(np.float32)
    vectors = np.repeat(base[np.newaxis], 500, axis=0)
    vectors[:, 17] += np.float32(1e-6) * random.permutation(500).astype(np.float32)
    check(vectors, base[np.newaxis], 20)


@pytest.mark.parametrize(("least", "most"), [(-8, 8), (-25, -18), (10, 17)])
def test_scores_of_very_different_size_are_ranked(least, most):
    random = np.random.default_rng(9)
    sizes = 10.0 ** random.integers(least, most, (2000, 1))
    vectors = (random.normal(size=(2000, 8)) * sizes).astype(np.float32)
    queries = random.normal(size=(3, 8))
    check(vectors, queries.astype(np.float32), 50)
    check(vectors, (queries * 1e-18).astype(np.float32), 50)


def test_memory_does_not_grow_with_the_table():
    vectors = np.random.default_rng(10).normal(size=(200_000, 4)).astype(np.float32)
    tracemalloc.start()
    try:
        search(vectors, vectors[:256], 10)  # 200 MB of scores, if all were kept
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 64 << 20


def test_an_empty_table_has_no_best_rows():
    ((rows, scores),) = search(np.zeros((0, 4), np.float32), np.ones((1, 4), np.float32), 3)
    assert len(rows) == len(scores) == 0
