"""Flipped interactions: how many, whose, when, and never one that is true."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualtower_trainer.data import Dataset, Interactions, load_dataset
from dualtower_trainer.noise import flip_interactions, write_log


def pairs_of(log: Interactions) -> set[tuple[int, int]]:
    return set(zip(log.users.tolist(), log.items.tolist(), strict=True))


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1, 0.2, 1.0])
def test_as_many_false_pairs_come_as_true_ones_go(
    tastes_of_three_kinds: Dataset, share: float
) -> None:
    log = tastes_of_three_kinds.interactions
    noisy = flip_interactions(log, 90, share, seed=3)
    before, after = pairs_of(log), pairs_of(noisy)
    assert len(before - after) == len(after - before) == round(share * len(before))
    assert len(after) == len(before)


def test_people_keep_their_number_of_items_their_rows_and_their_times(
    tastes_of_three_kinds: Dataset,
) -> None:
    log = tastes_of_three_kinds.interactions
    noisy = flip_interactions(log, 90, 0.3, seed=0)
    for name in ("users", "timestamps", "weights", "user_ids"):
        np.testing.assert_array_equal(getattr(noisy, name), getattr(log, name))
    for user in range(120):
        mine = log.users == user
        assert len(set(log.items[mine])) == len(set(noisy.items[mine]))
    # rows of one pair move together
    moved = {}
    for user, old, new in zip(log.users, log.items, noisy.items, strict=True):
        assert moved.setdefault((user, old), new) == new


def test_nobody_is_given_what_is_named_as_taken(tastes_of_three_kinds: Dataset) -> None:
    log = tastes_of_three_kinds.interactions
    first = np.arange(len(log)) % 2 == 0
    noisy = flip_interactions(log.where(first), 90, 0.5, seed=1, taken=log)
    assert not (pairs_of(noisy) - pairs_of(log.where(first))) & pairs_of(log)


def test_false_items_are_drawn_evenly() -> None:
    users = np.repeat(np.arange(2000), 5).astype(np.int32)
    items = np.tile(np.arange(5), 2000).astype(np.int32)
    log = Interactions(
        users, items, np.zeros(10_000, np.int64), np.ones(10_000, np.float32),
        np.arange(2000).astype(str).astype(object),
    )  # fmt: skip
    counts = np.bincount(flip_interactions(log, 25, 0.4, seed=0).items, minlength=25)[5:]
    assert counts.sum() == 4000
    expected = 4000 / 20
    assert (((counts - expected) ** 2) / expected).sum() < 43.8  # χ² of 19 degrees, p = 0.001


def test_the_seed_decides(tastes_of_three_kinds: Dataset) -> None:
    log = tastes_of_three_kinds.interactions
    one, same, other = (flip_interactions(log, 90, 0.2, seed=seed).items for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_what_cannot_be_is_refused(tastes_of_three_kinds: Dataset) -> None:
    log = tastes_of_three_kinds.interactions
    with pytest.raises(ValueError, match=r"share must be from 0 to 1, got 1\.5"):
        flip_interactions(log, 90, 1.5, seed=0)
    everything = replace(
        log.where(np.arange(len(log)) < 90),
        users=np.zeros(90, np.int32),
        items=np.arange(90, dtype=np.int32),
    )
    with pytest.raises(ValueError, match="9 false ones cannot be found; give a smaller share"):
        flip_interactions(everything, 90, 0.1, seed=0)
    assert pairs_of(flip_interactions(everything, 99, 0.1, seed=0)) != pairs_of(everything)


def test_a_written_log_is_read_as_it_was(tastes_of_three_kinds: Dataset, tmp_path: Path) -> None:
    dataset = tastes_of_three_kinds
    source = tmp_path / "source"
    source.mkdir()
    ids = list(dataset.catalogue.item_ids)
    pq.write_table(pa.table({"item_id": ids, "text": ids}), source / "items.parquet")
    log = flip_interactions(dataset.interactions, 90, 0.1, seed=0)
    write_log(tmp_path / "noisy", log, dataset.catalogue, source)
    read = load_dataset(tmp_path / "noisy").interactions
    for name in ("users", "items", "timestamps", "weights", "user_ids"):
        np.testing.assert_array_equal(getattr(read, name), getattr(log, name))
