"""Batches of pairs: no item or near-duplicate twice, a function of (seed, step), weighted."""

from __future__ import annotations

import numpy as np
import pytest

from dualtower_trainer.pairs import DiverseBatches, MiningOptions, Pairs, mine_positives

ITEMS = 48


@pytest.fixture(scope="module")
def pairs(log, texts) -> Pairs:
    return mine_positives(
        ITEMS, MiningOptions(sources=("co_consumption", "text")), interactions=log, texts=texts
    )


def of(anchor, positive, weight) -> Pairs:
    return Pairs(
        np.asarray(anchor, np.int32),
        np.asarray(positive, np.int32),
        np.asarray(weight, np.float32),
        np.zeros(len(anchor), np.int8),
    )


def test_no_group_twice_and_every_pair_is_a_mined_one(pairs) -> None:
    groups = (np.arange(ITEMS) % 40).astype(np.int32)
    batches = DiverseBatches(pairs, groups, batch_size=12)
    known = set(zip(pairs.anchor.tolist(), pairs.positive.tolist(), strict=True))
    for step in range(100):
        batch = batches.batch(seed=3, step=step)
        assert len(batch.anchor) == batches.batch_size
        seen = [{groups[a], groups[p]} for a, p in zip(batch.anchor, batch.positive, strict=True)]
        assert len(set().union(*seen)) == sum(map(len, seen))
        drawn = set(zip(batch.anchor.tolist(), batch.positive.tolist(), strict=True))
        assert drawn <= known
        for i, a in enumerate(batch.anchor.tolist()):
            for j, p in enumerate(batch.positive.tolist()):
                mined = (a, p) in known or (p, a) in known
                assert batch.accidental[i, j] == (mined and i != j)


def test_a_batch_is_a_function_of_seed_and_step(pairs) -> None:
    groups = np.arange(ITEMS, dtype=np.int32)
    one, other = (DiverseBatches(pairs, groups, 10) for _ in range(2))
    other.batch(seed=0, step=4)
    first, second = one.batch(seed=0, step=9), other.batch(seed=0, step=9)
    for name in vars(first):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    for seed, step in ((1, 9), (0, 10)):
        assert not np.array_equal(first.anchor, one.batch(seed=seed, step=step).anchor)


def test_pairs_come_in_proportion_to_their_weight() -> None:
    """With batches of one pair the chance of a pair is its share of the weight."""
    weight = np.array([0.1, 0.2, 0.3, 0.4])
    batches = DiverseBatches(of([0, 2, 4, 6], [1, 3, 5, 7], weight), np.arange(8), 1)
    steps = 4_000
    drawn = [int(batches.batch(seed=0, step=step).anchor[0]) // 2 for step in range(steps)]
    share = np.bincount(drawn, minlength=4) / steps
    assert (np.abs(share - weight) < 5 * np.sqrt(weight * (1 - weight) / steps)).all()


def test_a_batch_holds_all_that_fit_when_few_do() -> None:
    star = of([0] * 30 + [40], [*range(1, 31), 41], np.ones(31))
    for step in range(20):
        batch = DiverseBatches(star, np.arange(50), 8).batch(seed=0, step=step)
        assert sorted(batch.anchor.tolist()) == [0, 40]
    inside = of([0], [1], [1.0])
    assert len(DiverseBatches(inside, np.zeros(2, np.int32), 4).batch(seed=0, step=0).anchor) == 1


def test_accidental_also_masks_queues(pairs) -> None:
    groups = np.arange(ITEMS, dtype=np.int32)
    groups[1] = 0
    batches = DiverseBatches(pairs, groups, 4)
    ids = np.array([-1, 0, 1, 2, 47])
    masked = batches.accidental([0, 5], ids)
    known = set(zip(pairs.anchor.tolist(), pairs.positive.tolist(), strict=True))
    for row, anchor in enumerate((0, 5)):
        for column, item in enumerate(ids.tolist()):
            expected = (
                item < 0
                or groups[item] == groups[anchor]
                or (anchor, item) in known
                or (item, anchor) in known
            )
            assert masked[row, column] == expected


def test_wrong_use_is_refused(pairs) -> None:
    groups = np.arange(ITEMS)
    with pytest.raises(ValueError, match="at least one pair"):
        DiverseBatches(of([], [], []), groups, 2)
    with pytest.raises(ValueError, match="weights above 0"):
        DiverseBatches(of([0], [1], [0.0]), groups, 2)
    with pytest.raises(ValueError, match="batch_size"):
        DiverseBatches(pairs, groups, 0)
    with pytest.raises(ValueError, match="groups has 3"):
        DiverseBatches(pairs, groups[:3], 2)
    with pytest.raises(ValueError, match="one length"):
        of([0, 1], [1], [1.0])
