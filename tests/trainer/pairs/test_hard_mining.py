"""Hard negatives against sorting everything, and the miner's refreshes."""

from __future__ import annotations

import numpy as np
import pytest

from dualtower_trainer.pairs import HardNegativeConfig, HardNegativeMiner, hard_negatives

ITEMS, ANCHORS = 200, 30


def unit(random: np.random.Generator, *shape: int) -> np.ndarray:
    values = random.normal(size=shape).astype(np.float32)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def world():
    random = np.random.default_rng(0)
    anchors, items = unit(random, ANCHORS, 4), unit(random, ITEMS, 4)
    items[50:60] = items[40:50]  # ties
    excluded = [random.choice(ITEMS, random.integers(0, 20), replace=False) for _ in range(ANCHORS)]
    groups = np.arange(ITEMS, dtype=np.int32)
    groups[150:] = groups[:50]
    groups = np.unique(groups, return_inverse=True)[1].astype(np.int32)
    positive = unit(random, ANCHORS, 2)[:, 0]  # cosines of both signs
    return anchors, items, excluded, groups, positive


def allowed(world, row, ranks, max_score, margin, with_positive, grouped) -> list[int]:
    """Sort everything, drop what is excluded, cut the ranks, apply the bounds."""
    anchors, items, excluded, groups, positive = world
    scores = anchors[row] @ items.T
    gone = set(excluded[row].tolist())
    if grouped:
        taken = {groups[item] for item in gone}
        gone = {item for item in range(ITEMS) if groups[item] in taken}
    order = [item for item in np.argsort(-scores, kind="stable") if item not in gone]
    limit = max_score
    if with_positive:
        limit = min(limit, positive[row] - margin * abs(positive[row]))
    return [int(item) for item in order[ranks[0] : ranks[1]] if scores[item] <= limit]


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("with_positive", [False, True])
@pytest.mark.parametrize("ranks", [(0, 5), (10, 40), (150, 400)])
def test_they_are_drawn_from_what_the_rules_leave(world, ranks, with_positive, grouped) -> None:
    anchors, items, excluded, groups, positive = world
    mined = hard_negatives(
        anchors,
        items,
        excluded,
        count=8,
        ranks=ranks,
        max_score=0.8,
        positive_scores=positive if with_positive else None,
        margin=0.1,
        groups=groups if grouped else None,
    )
    for row in range(ANCHORS):
        possible = allowed(world, row, ranks, 0.8, 0.1, with_positive, grouped)
        found = mined.items[row][mined.mask[row]].tolist()
        assert len(set(found)) == len(found) == min(8, len(possible))
        assert set(found) <= set(possible)
        np.testing.assert_allclose(
            mined.scores[row][mined.mask[row]], items[found] @ anchors[row], atol=1e-6
        )
        assert (mined.items[row][~mined.mask[row]] == -1).all()
    assert mined.items.dtype == np.int32


def test_blocks_do_not_change_the_choice(world, monkeypatch) -> None:
    anchors, items, excluded, _, positive = world
    whole = hard_negatives(anchors, items, excluded, count=6, positive_scores=positive)
    monkeypatch.setattr("dualtower_trainer.pairs.hard_mining._BLOCK_ROWS", 7)
    pieces = hard_negatives(anchors, items, excluded, count=6, positive_scores=positive)
    np.testing.assert_array_equal(whole.items, pieces.items)


def test_every_possible_item_is_drawn_with_equal_chance(world) -> None:
    anchors, items, excluded, _, _ = world
    possible = allowed(world, 0, (10, 30), 1.0, 0.0, False, False)
    drawn = np.zeros(ITEMS)
    trials = 1_000
    for seed in range(trials):
        mined = hard_negatives(
            anchors[:1], items, excluded[:1], count=5, ranks=(10, 30), seed=(seed,)
        )
        drawn[mined.items[0]] += 1
    share = drawn[possible] / trials
    assert drawn.sum() == 5 * trials == drawn[possible].sum()
    assert (np.abs(share - 0.25) < 5 * np.sqrt(0.25 * 0.75 / trials)).all()


def test_the_miner_waits_refreshes_and_repeats_itself(world) -> None:
    anchors, items, excluded, groups, positive = world
    config = HardNegativeConfig(per_anchor=3, warmup_steps=20, refresh_steps=10)
    miner = HardNegativeMiner(excluded, config, groups=groups, seed=4)
    due = []
    for step in range(60):
        if miner.due(step):
            due.append(step)
            mined = miner.refresh(step, anchors, items, positive)
            np.testing.assert_array_equal(miner.of([2, 5]), mined.items[[2, 5]])
        elif step < 20:
            assert (miner.of([2, 5]) == -1).all()
    assert due == [20, 30, 40, 50]
    again = HardNegativeMiner(excluded, config, groups=groups, seed=4)
    assert again.due(53), "a run that starts at step 53 without a state mines at once"
    np.testing.assert_array_equal(
        again.refresh(53, anchors, items, positive).items, miner.of(np.arange(ANCHORS))
    )
    other = HardNegativeMiner(excluded, config, groups=groups, seed=5)
    assert not np.array_equal(other.refresh(53, anchors, items, positive).items, mined.items)
    earlier = HardNegativeMiner(excluded, config, groups=groups, seed=4)
    assert not np.array_equal(earlier.refresh(30, anchors, items, positive).items, mined.items)


def test_a_restored_miner_is_not_due_and_has_its_negatives(world) -> None:
    anchors, items, excluded, _, _ = world
    config = HardNegativeConfig(per_anchor=3, warmup_steps=0, refresh_steps=10)
    miner, resumed = (HardNegativeMiner(excluded, config) for _ in range(2))
    miner.refresh(12, anchors, items)
    resumed.restore(miner.state())
    assert not resumed.due(19)
    assert resumed.due(20)
    np.testing.assert_array_equal(resumed.of([0, 7]), miner.of([0, 7]))
    with pytest.raises(ValueError, match="anchors and config of the run"):
        HardNegativeMiner(excluded[:3], config).restore(miner.state())


def test_no_negatives_wanted_is_never_due(world) -> None:
    miner = HardNegativeMiner(world[2], HardNegativeConfig(per_anchor=0, warmup_steps=0))
    assert not miner.due(1_000)
    assert miner.of([1, 2]).shape == (2, 0)


def test_wrong_use_is_refused(world) -> None:
    anchors, items, excluded, _, _ = world
    with pytest.raises(ValueError, match="ranks must be"):
        hard_negatives(anchors, items, excluded, count=1, ranks=(5, 5))
    with pytest.raises(ValueError, match="margin must be"):
        hard_negatives(anchors, items, excluded, count=1, margin=1.5)
    with pytest.raises(ValueError, match="as many excluded"):
        hard_negatives(anchors, items, excluded[:2], count=1)
    with pytest.raises(ValueError, match="warm-up of 200 steps"):
        HardNegativeMiner(excluded, HardNegativeConfig()).refresh(3, anchors, items)
    for options in (
        {"per_anchor": -1},
        {"last_rank": 10},
        {"refresh_steps": 0},
        {"margin": 2.0},
        {"max_score": 1.5},
    ):
        with pytest.raises(ValueError, match="must"):
            HardNegativeConfig(**options)
