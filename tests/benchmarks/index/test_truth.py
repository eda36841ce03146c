"""The catalogue and its exact lists: what they say, and that blocks change nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dualtower_benchmarks.index.catalogue import make_catalogue, open_catalogue, with_rest
from dualtower_benchmarks.index.rows import recall_of
from dualtower_benchmarks.index.truth import best_rows, true_lists


def test_the_catalogue_is_what_it_says(tmp_path: Path) -> None:
    made = make_catalogue(tmp_path / "a", 2_000, 12, 30, seed=1)
    assert made.tastes.shape == (2_000, 12)
    np.testing.assert_allclose(np.linalg.norm(made.users, axis=1), 1, atol=1e-5)
    lengths = np.linalg.norm(made.tastes, axis=1)
    assert np.median(lengths) == pytest.approx(0.1, rel=0.1)
    assert np.std(np.log(lengths)) == pytest.approx(0.7, rel=0.1)
    vectors = with_rest(made.tastes)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert not vectors[:, -2].any()
    again = make_catalogue(tmp_path / "b", 2_000, 12, 30, seed=1)
    other = make_catalogue(tmp_path / "c", 2_000, 12, 30, seed=2)
    assert np.array_equal(made.tastes, again.tastes)
    assert not np.array_equal(made.tastes, other.tastes)


def test_one_that_is_there_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    made = make_catalogue(folder, 100, 4, 5, seed=1)
    taken = make_catalogue(folder, 100, 4, 5, seed=2)  # the seed of a run is held by its store
    assert np.array_equal(made.tastes, taken.tastes)
    assert np.array_equal(open_catalogue(folder).seen, made.seen)


@pytest.mark.parametrize("block", [1, 7, 64, 500, 10_000])
def test_blocks_find_what_a_sort_of_everything_finds(tmp_path: Path, block: int) -> None:
    made = make_catalogue(tmp_path / "a", 500, 6, 11, seed=0)
    scores = made.users.astype(np.float64) @ made.tastes.T.astype(np.float64)
    plain = np.argsort(-scores, axis=1, kind="stable")[:, :9]
    assert np.array_equal(best_rows(made.tastes, made.users, 9, block=block), plain)


def test_of_equal_scores_the_lower_row_comes_first() -> None:
    tastes = np.zeros((40, 2), np.float32)
    tastes[5:, 0] = 1
    users = np.array([[1, 0]], np.float32)
    for block in (3, 8, 40):
        assert best_rows(tastes, users, 4, block=block).tolist() == [[5, 6, 7, 8]]


def test_what_was_taken_is_in_one_list_and_not_in_the_other(tmp_path: Path) -> None:
    made = make_catalogue(tmp_path / "a", 400, 5, 20, seed=3)
    truth = true_lists(made, 10, tmp_path / "truth.npz")
    scores = made.users.astype(np.float64) @ made.tastes.T.astype(np.float64)
    order = np.argsort(-scores, axis=1, kind="stable")
    assert np.array_equal(truth.best, order[:, :10])
    for mine, seen, unseen in zip(order, made.seen, truth.unseen, strict=True):
        assert unseen.tolist() == [row for row in mine if row not in seen][:10]
    assert any(np.isin(best, seen).any() for best, seen in zip(truth.best, made.seen, strict=True))


def test_recall_counts_the_shares_of_users() -> None:
    best = np.array([[1, 2, 3, 4], [5, 6, 7, -1]])
    found = recall_of([[4, 1, 9, 9], [7, 6, 5]], best, seed=0)
    assert found["value"] == pytest.approx((0.5 + 1) / 2)
    assert (found["low"], found["high"], found["users"]) == (0.5, 1.0, 2)


def test_the_interval_of_a_recall_holds_the_truth() -> None:
    """Users who find each item with chance .8: 95 % of the intervals have .8 in them."""
    random = np.random.default_rng(5)
    best = np.arange(100).reshape(1, 100).repeat(60, axis=0)
    held = 0
    for seed in range(100):
        found = [np.flatnonzero(mine).tolist() for mine in random.random((60, 100)) < 0.8]
        recall = recall_of(found, best, seed=seed)
        held += recall["low"] <= 0.8 <= recall["high"]
    assert held >= 87  # of 100 at .95 fewer come about once in a thousand times
