"""Draws by popularity, near-duplicates and mined negatives in a batch; counts are the true ones."""

from __future__ import annotations

import numpy as np
import pytest

from dualtower_trainer.negatives_config import NegativesConfig
from dualtower_trainer.sampling import BatchSampler

ITEMS, USERS, TARGETS = 50, 16, 4


def sampler(logs, groups=None, **options) -> BatchSampler:
    return BatchSampler(
        logs, ITEMS, history_items=12, users_per_step=USERS, targets_per_user=TARGETS,
        uniform_negatives=20, negatives=NegativesConfig(**options), groups=groups,
    )  # fmt: skip


@pytest.mark.parametrize("diverse", [False, True])
def test_expected_counts_are_the_mean_of_many_batches(logs, groups, diverse: bool) -> None:
    source = sampler(logs, groups, popular=25, diverse_targets=diverse)
    counted, expected, batches = np.zeros(ITEMS), np.full(ITEMS, np.nan), 2_000
    for step in range(batches):
        batch = source.batch(seed=5, step=step)
        rows = batch.rows[batch.candidates]
        real = np.concatenate([batch.target_mask.ravel() == 1, np.ones(45, bool)])
        np.add.at(counted, rows[real], 1)
        expected[rows[real]] = np.exp(batch.log_expected_count[real])
    mean = counted / batches
    taken = counted > 0
    assert (np.flatnonzero(taken) == np.unique(np.concatenate(logs))).all()
    error = 5 * np.sqrt(expected[taken] / batches)  # counts vary at most as a Poisson number does
    assert (np.abs(mean[taken] - expected[taken]) < error).all()


def test_with_these_counts_the_sampled_sum_is_the_sum_over_the_catalogue(logs) -> None:
    """The oracle of logQ: the mean of Σ f/c over the candidates is Σ f over all items taken."""
    source = sampler(logs, popular=25)
    values = np.random.default_rng(1).lognormal(size=ITEMS)
    sums = []
    for step in range(2_000):
        batch = source.batch(seed=0, step=step)
        real = np.concatenate([batch.target_mask.ravel() == 1, np.ones(45, bool)])
        rows = batch.rows[batch.candidates[real]]
        sums.append((values[rows] / np.exp(batch.log_expected_count[real])).sum())
    error = np.std(sums) / np.sqrt(len(sums))
    whole = values[source.trained_rows].sum()
    assert abs(np.mean(sums) - whole) < 4 * error
    assert error < 0.01 * whole


def test_of_targets_that_say_the_same_one_is_asked_for(logs, groups) -> None:
    plain, diverse = sampler(logs), sampler(logs, groups, diverse_targets=True)
    repeated = 0
    for step in range(40):
        before, after = plain.batch(seed=1, step=step), diverse.batch(seed=1, step=step)
        for row in range(USERS):
            old = before.rows[before.targets[row]][before.target_mask[row] == 1]
            new = after.rows[after.targets[row]][after.target_mask[row] == 1]
            seen: list[int] = []
            for item in old.tolist():
                if groups[item] not in groups[seen]:
                    seen.append(item)
            assert new.tolist() == seen
            repeated += len(old) - len(new)
    assert repeated > 5


@pytest.mark.parametrize("near", [False, True])
def test_what_was_taken_is_no_negative_nor_what_says_the_same(logs, groups, near: bool) -> None:
    source = sampler(logs, groups, popular=10, near_duplicates=near)
    hard = np.random.default_rng(2).integers(-1, 45, (source.users, 3)).astype(np.int32)
    batch = source.batch(seed=3, step=0, hard=hard)
    candidates = batch.rows[batch.candidates].tolist()
    assert len(candidates) == source.drawn + 3 * USERS == USERS * TARGETS + 30 + 3 * USERS
    for row, user in enumerate(batch.users):
        taken = set(source.logs[user].tolist())
        if near:
            taken = {item for item in range(ITEMS) if groups[item] in groups[list(taken)]}
        for place, item in enumerate(candidates):
            masked = item in taken
            if place < USERS * TARGETS:
                masked |= batch.target_mask.ravel()[place] == 0
            elif place >= source.drawn:
                owner, which = divmod(place - source.drawn, 3)
                masked |= owner != row or hard[user, which] < 0
                if hard[user, which] >= 0 and owner == row:
                    assert item == hard[user, which]
            assert batch.accidental[row, place] == masked
    assert (batch.log_expected_count[source.drawn :] == 0).all()


def test_options_that_are_off_draw_what_was_drawn_without_them(logs, groups) -> None:
    one = BatchSampler(
        logs, ITEMS, history_items=12, users_per_step=USERS, targets_per_user=TARGETS,
        uniform_negatives=20,
    ).batch(seed=0, step=7)  # fmt: skip
    other = sampler(logs, groups).batch(seed=0, step=7)
    for name in vars(one):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"popular": -1}, "popular must not be negative, got -1"),
        ({"hard_per_user": -2}, "hard_per_user must not be negative, got -2"),
        ({"refresh_every": 0}, "refresh_every must be at least 1, got 0"),
        ({"first_rank": 9, "last_rank": 9}, "last_rank must be above first_rank 9, got 9"),
        ({"margin": 1.5}, r"margin must be from 0 to 1, got 1\.5"),
        ({"log_q": "none"}, "log_q must be one of exact, streaming, got 'none'"),
        ({"log_q_rate": 0.0}, r"log_q_rate must be above 0 and at most 1, got 0\.0"),
    ],
)
def test_wrong_settings_are_named(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NegativesConfig(**options)
