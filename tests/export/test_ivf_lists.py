"""Lists, codes and k-means in numpy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dualtower.errors import DataError, UsageError
from dualtower_export.index_codes import encode
from dualtower_export.ivf_lists import build_lists, default_lists, recall_of_probes
from dualtower_export.k_means import k_means, nearest
from dualtower_export.search_index import check_vectors


def _blobs(random, clusters=6, each=40, dim=5):
    centres = random.normal(size=(clusters, dim))
    points = np.repeat(centres, each, axis=0) + 0.01 * random.normal(size=(clusters * each, dim))
    return (points / (1.1 * np.linalg.norm(points, axis=1).max())).astype(np.float32)


def test_k_means_finds_what_is_there_and_repeats_itself() -> None:
    points = _blobs(np.random.default_rng(0))
    # more than there are blobs, so that no start misses one
    member, distance = nearest(points, k_means(points, 12, seed=1))
    naive = ((points[:, None] - k_means(points, 12, seed=1)[None]) ** 2).sum(axis=2)
    assert np.array_equal(member, naive.argmin(axis=1))
    np.testing.assert_allclose(distance, naive.min(axis=1), atol=1e-5)
    assert distance.max() < 0.01
    assert np.array_equal(k_means(points, 12, seed=1), k_means(points, 12, seed=1))
    assert not np.array_equal(k_means(points, 12, seed=1), k_means(points, 12, seed=2))


def test_a_round_of_k_means_never_makes_it_worse() -> None:
    points = np.random.default_rng(2).normal(size=(500, 4)).astype(np.float32)
    loss = [nearest(points, k_means(points, 20, seed=3, rounds=r))[1].sum() for r in range(8)]
    assert all(after <= before * (1 + 1e-5) for before, after in itertools.pairwise(loss))


def test_lists_part_the_rows_and_have_their_means() -> None:
    points = _blobs(np.random.default_rng(3))
    rows = np.flatnonzero(np.arange(len(points)) % 7 != 0)
    lists = build_lists(points, rows, 9, seed=0)
    assert sorted(lists.members) == rows.tolist()
    assert lists.sizes.min() > 0
    for number, (start, size) in enumerate(zip(lists.starts, lists.sizes, strict=True)):
        members = lists.members[start : start + size]
        assert (np.diff(members) > 0).all()
        np.testing.assert_allclose(lists.centres[number], points[members].mean(axis=0), atol=1e-6)
        spread = np.sqrt(points[members].var(axis=0).mean())
        assert lists.bonus[number] == pytest.approx(2 * spread, abs=1e-6)


def test_items_that_coincide_make_one_list() -> None:
    lists = build_lists(np.full((50, 3), 0.2, np.float32), np.arange(50), 10, seed=0)
    assert lists.sizes.tolist() == [50]


def test_more_lists_than_items_are_refused() -> None:
    points = _blobs(np.random.default_rng(0), each=1)
    with pytest.raises(UsageError, match=r"ivf_lists is 7, but only 6 items .* export.ivf_lists=0"):
        build_lists(points, np.arange(6), 7, seed=0)
    assert len(build_lists(points, np.arange(6), 6, seed=0).sizes) == 6
    assert [default_lists(n) for n in (1, 2, 10_000, 1_000_000)] == [1, 2, 200, 2_000]


def test_recall_of_probes_counts_the_lists_that_hold_the_best() -> None:
    random = np.random.default_rng(4)
    points = _blobs(random)
    users = random.normal(size=(8, 5)).astype(np.float32)
    lists = build_lists(points, np.arange(len(points)), 12, seed=0)
    best = [np.argsort(-(points @ user))[:60] for user in users]
    curve = recall_of_probes(lists, users, best)
    for probes in range(1, len(lists.sizes) + 1):
        held = 0
        for user, rows in zip(users, best, strict=True):
            read = np.argsort(-(lists.centres @ user + lists.bonus))[:probes]
            within = np.concatenate(
                [lists.members[lists.starts[n] : lists.starts[n] + lists.sizes[n]] for n in read]
            )
            held += np.isin(rows, within).sum()
        assert curve[probes - 1] == pytest.approx(held / (60 * len(users)))
    assert curve[-1] == 1


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_no_score_is_further_off_than_the_codes_say(dtype: str) -> None:
    random = np.random.default_rng(5)
    tastes = random.normal(size=(300, 16)).astype(np.float32)
    tastes[3] = 0
    codes = encode(tastes, dtype)
    back = codes.values.astype(np.float64)
    if codes.scales is not None:
        back *= codes.scales[:, None]
    users = random.normal(size=(50, 16))
    users /= np.linalg.norm(users, axis=1, keepdims=True)
    off = np.abs(users @ (tastes - back).T).max()
    assert off <= codes.error * (1 + 1e-5)
    assert codes.values.dtype == dtype
    with pytest.raises(ValueError, match="float16 or int8, got float64"):
        encode(tastes, "float64")


def test_vectors_that_cannot_be_ranked_are_named() -> None:
    ids = np.array(["a", "b", "c"], object)
    good = np.eye(3, dtype=np.float32)
    check_vectors(good, ids)
    for broken in (np.nan, np.inf, -np.inf):
        bad = good.copy()
        bad[1, 0] = broken
        with pytest.raises(DataError, match=r"1 of 3 items have vectors that are not finite.*'b'"):
            check_vectors(bad, ids)
    with pytest.raises(DataError, match=r"vector of 'c' has length 2\.000"):
        check_vectors(good * np.array([[1], [1], [2]], np.float32), ids)
    with pytest.raises(DataError, match="catalogue is empty"):
        check_vectors(good[:0], ids[:0])
