"""Mined positives: the neighbours that brute force finds, and none that a rule forbids."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from dualtower.errors import DataError
from dualtower_trainer.pairs import SOURCES, MiningOptions, co_consumption, mine_positives
from dualtower_trainer.pairs.neighbours import nearest, row_blocks, vector_products
from dualtower_trainer.tfidf import tfidf_matrix

ITEMS = 48


def brute(similarity: np.ndarray, count: int, minimum: float, groups=None) -> set:
    found = set()
    for row in range(len(similarity)):
        own = np.arange(len(similarity)) if groups is None else groups
        best = [
            column
            for column in np.argsort(-similarity[row], kind="stable")
            if own[column] != own[row]
            and similarity[row, column] >= minimum
            and similarity[row, column] > 0
        ]
        found |= {(row, int(column)) for column in best[:count]}
    return found


def as_set(pairs) -> set:
    return set(zip(pairs.anchor.tolist(), pairs.positive.tolist(), strict=True))


@pytest.mark.parametrize("rows", [5, 512])
def test_nearest_equals_brute_force_with_ties_and_groups(monkeypatch, rows) -> None:
    monkeypatch.setattr("dualtower_trainer.pairs.neighbours._BLOCK_ROWS", rows)
    random = np.random.default_rng(0)
    vectors = random.integers(-2, 3, (40, 3)).astype(np.float32)  # many ties, some zero rows
    vectors[0] = 0
    groups = random.integers(0, 15, 40).astype(np.int32)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    for grouping in (None, groups):
        for count in (1, 4, 50):
            blocks = list(vector_products(vectors))
            dense = np.concatenate([block for _, block in blocks])
            np.testing.assert_allclose(dense, unit @ unit.T, atol=1e-6)
            edges = nearest(blocks, count, minimum=0.2, groups=grouping)
            found = set(zip(edges[0].tolist(), edges[1].tolist(), strict=True))
            assert found == brute(dense, count, 0.2, grouping)
            again = nearest(
                row_blocks(sparse.csr_matrix(dense)), count, minimum=0.2, groups=grouping
            )
            for one, other in zip(edges, again, strict=True):
                np.testing.assert_array_equal(one, other)
    assert all(len(edges) == 0 for edges in nearest([], 3, minimum=0))


def test_each_source_gives_its_own_nearest_items(log, texts) -> None:
    vectors = np.random.default_rng(1).normal(size=(ITEMS, 6)).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    features = tfidf_matrix(texts)
    taken = np.zeros((60, ITEMS))
    taken[log.users, log.items] = 1
    inverse = np.linalg.inv(taken.T @ taken + 50 * np.eye(ITEMS))
    ease = -inverse / np.diag(inverse)
    np.fill_diagonal(ease, 0)
    similarities = {
        "co_consumption": (
            np.concatenate([b.toarray() for _, b in co_consumption(log, ITEMS)]),
            0.0,
        ),
        "ease": (ease, 0.0),
        "text": ((features @ features.T).toarray(), 0.3),
        "vectors": (unit @ unit.T, 0.3),
    }
    for source, (similarity, minimum) in similarities.items():
        options = MiningOptions(sources=(source,), per_anchor=5, regularisation=50.0)
        pairs = mine_positives(ITEMS, options, interactions=log, texts=texts, vectors=vectors)
        assert as_set(pairs) == brute(similarity, 5, minimum)
        scale = similarity.max() if source == "ease" else 1
        np.testing.assert_allclose(
            pairs.weight, similarity[pairs.anchor, pairs.positive] / scale, rtol=1e-3, atol=1e-6
        )
        assert set(pairs.source.tolist()) == {SOURCES.index(source)}
        assert pairs.anchor.dtype == pairs.positive.dtype == np.int32
        assert pairs.weight.dtype == np.float32


def test_behaviour_and_content_find_the_kinds(log, texts) -> None:
    for source, share in (("co_consumption", 0.9), ("ease", 0.9), ("text", 1.0)):
        pairs = mine_positives(
            ITEMS, MiningOptions(sources=(source,), per_anchor=3), interactions=log, texts=texts
        )
        assert (pairs.anchor // 12 == pairs.positive // 12).mean() >= share


def test_sources_are_joined_without_repeats_and_the_surer_one_wins(log, texts) -> None:
    both = mine_positives(
        ITEMS, MiningOptions(sources=("co_consumption", "text")), interactions=log, texts=texts
    )
    single = [
        mine_positives(ITEMS, MiningOptions(sources=(source,)), interactions=log, texts=texts)
        for source in ("co_consumption", "text")
    ]
    assert as_set(both) == as_set(single[0]) | as_set(single[1])
    assert len(as_set(both)) == len(both)
    weights = [
        dict(zip(zip(p.anchor.tolist(), p.positive.tolist(), strict=True), p.weight, strict=True))
        for p in single
    ]
    for a, p, weight, source in zip(
        both.anchor.tolist(), both.positive.tolist(), both.weight, both.source, strict=True
    ):
        found = [each.get((a, p), 0) for each in weights]
        assert weight == max(found)
        assert SOURCES[source] == ("co_consumption", "text")[int(np.argmax(found))]
    order = np.lexsort((both.positive, -both.weight, both.anchor))
    np.testing.assert_array_equal(order, np.arange(len(both)))


def test_near_duplicates_are_no_pair(log, texts) -> None:
    groups = (np.arange(ITEMS) // 2).astype(np.int32)
    for source in ("co_consumption", "ease", "text"):
        pairs = mine_positives(
            ITEMS, MiningOptions(sources=(source,)), interactions=log, texts=texts, groups=groups
        )
        assert (groups[pairs.anchor] != groups[pairs.positive]).all()


def test_what_is_missing_is_named(log, texts, make_interactions) -> None:
    needed = ("interactions", "interactions", "texts", "vectors")
    for source, word in zip(SOURCES, needed, strict=True):
        with pytest.raises(ValueError, match=f"needs {word}"):
            mine_positives(ITEMS, MiningOptions(sources=(source,)))
    with pytest.raises(ValueError, match="texts must be one an item"):
        mine_positives(ITEMS, texts=texts[:-1])
    with pytest.raises(DataError, match="no pair of items"):
        mine_positives(3, interactions=make_interactions([0, 1, 2], [0, 1, 2]))
    for options in (
        {"sources": ("clicks",)},
        {"sources": ()},
        {"sources": ("text", "text")},
        {"weighting": "lift"},
        {"per_anchor": 0},
        {"min_count": 0},
        {"window_s": -1},
        {"shrink": -1.0},
        {"regularisation": 0.0},
        {"min_similarity": 1.0},
    ):
        with pytest.raises(ValueError, match="must"):
            MiningOptions(**options)
