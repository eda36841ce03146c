"""What a batch holds, and that its expected counts are the true ones."""

from __future__ import annotations

import numpy as np
import pytest

from dualtower_trainer.sampling import BatchSampler


def logs(count: int = 40, items: int = 50, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [
        random.permutation(items)[: random.integers(2, 30)].astype(np.int32) for _ in range(count)
    ]


def sampler(of: list[np.ndarray], **options) -> BatchSampler:
    defaults = {
        "history_items": 12,
        "users_per_step": 16,
        "targets_per_user": 4,
        "uniform_negatives": 30,
    }
    return BatchSampler(of, 50, **{**defaults, **options})


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    one, other = sampler(logs()), sampler(logs())
    other.batch(seed=0, step=3)
    first, second = one.batch(seed=0, step=7), other.batch(seed=0, step=7)
    for name in vars(first):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert not np.array_equal(first.rows[first.targets], one.batch(seed=0, step=8).rows)


def test_targets_are_hidden_from_the_history_and_all_taken_items_are_masked() -> None:
    of = logs()
    batch = sampler(of, short_history_share=0.0).batch(seed=1, step=0)
    candidates = batch.rows[batch.candidates]
    sets = [set(log.tolist()) for log in of]
    for row in range(len(batch.history)):
        shown = batch.rows[batch.history[row]][batch.history_mask[row] == 1].tolist()
        hidden = batch.rows[batch.targets[row]][batch.target_mask[row] == 1].tolist()
        assert not set(shown) & set(hidden)
        owners = [user for user, taken in enumerate(sets) if set(shown) | set(hidden) <= taken]
        assert owners, "history and targets come from one log"
        log = next(of[user] for user in owners if _is_masked_by(of[user], batch, row, candidates))
        order = [item for item in log.tolist() if item not in hidden][:12]
        assert shown == order, "most recent first, without the hidden ones"


def _is_masked_by(log: np.ndarray, batch, row: int, candidates: np.ndarray) -> bool:
    padding = np.concatenate([batch.target_mask.ravel() == 0, np.zeros(30, bool)])
    return np.array_equal(batch.accidental[row], np.isin(candidates, log) | padding)


def test_expected_counts_are_the_mean_of_many_batches() -> None:
    of = logs()
    source = sampler(of)
    counted, expected, batches = np.zeros(50), np.zeros(50), 2_000
    for step in range(batches):
        batch = source.batch(seed=5, step=step)
        real = np.concatenate([batch.target_mask.ravel() == 1, np.ones(30, bool)])
        rows = batch.rows[batch.candidates]
        np.add.at(counted, rows[real], 1)
        known = np.full(50, np.nan)
        known[rows] = np.exp(batch.log_expected_count)
        expected = np.where(np.isnan(known), expected, known)
    mean = counted / batches
    taken = mean > 0
    error = 5 * np.sqrt(expected[taken] / batches)  # counts vary at most as a Poisson number does
    assert (np.abs(mean[taken] - expected[taken]) < error).all()


def test_some_histories_are_short_and_some_empty() -> None:
    source = sampler(logs(), short_history_share=1.0)
    lengths = [source.batch(seed=0, step=step).history_mask.sum(1) for step in range(30)]
    assert np.max(lengths) <= 10
    assert np.min(lengths) == 0


def test_without_a_user_of_two_items_there_is_nothing_to_hide() -> None:
    with pytest.raises(ValueError, match="no user has two items"):
        sampler([np.array([1]), np.array([2])])
