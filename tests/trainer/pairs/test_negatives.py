"""Sampled negatives, the queue and the mask of accidental hits."""

from __future__ import annotations

import numpy as np
import pytest

from dualtower_trainer.pairs import EmbeddingQueue, NegativeSampler, accidental_hits

ITEMS = 48


@pytest.mark.parametrize("in_batch", [0, 16])
def test_expected_counts_are_the_mean_of_many_steps(log, in_batch) -> None:
    pool = np.arange(5, ITEMS)
    popularity = np.bincount(log.items, minlength=ITEMS)
    sampler = NegativeSampler(
        pool, 20, ITEMS, popularity=popularity if in_batch else None, in_batch=in_batch
    )
    random, steps = np.random.default_rng(0), 4_000
    counted = np.zeros(ITEMS)
    for step in range(steps):
        drawn = sampler.draw(seed=2, step=step)
        batch = log.items[random.integers(0, len(log), in_batch)]
        counted += np.bincount(np.concatenate([drawn, batch]), minlength=ITEMS)
    expected = sampler.expected_count
    assert expected.sum() == pytest.approx(20 + in_batch)
    error = 5 * np.sqrt(np.maximum(expected, 1e-12) / steps)
    assert (np.abs(counted / steps - expected) <= error).all()
    finite = np.isfinite(sampler.log_expected_count)
    np.testing.assert_array_equal(finite, expected > 0)
    np.testing.assert_allclose(np.exp(sampler.log_expected_count), expected, rtol=1e-6)


def test_with_these_counts_the_sampled_sum_is_the_sum_over_the_catalogue(log) -> None:
    """The oracle of logQ: mean of Σ f/c over candidates is Σ f over all items."""
    popularity = np.bincount(log.items, minlength=ITEMS)
    sampler = NegativeSampler(np.arange(ITEMS), 30, ITEMS, popularity=popularity, in_batch=30)
    random = np.random.default_rng(1)
    values = random.lognormal(size=ITEMS)
    sums = []
    for step in range(3_000):
        rows = np.concatenate(
            [sampler.draw(seed=0, step=step), log.items[random.integers(0, len(log), 30)]]
        )
        sums.append((values[rows] / np.exp(sampler.log_expected_count[rows])).sum())
    error = np.std(sums) / np.sqrt(len(sums))
    assert abs(np.mean(sums) - values.sum()) < 4 * error
    assert error < 0.01 * values.sum()


def test_draws_are_a_function_of_seed_and_step() -> None:
    sampler = NegativeSampler(np.arange(10), 50, 10)
    first = sampler.draw(seed=0, step=1)
    np.testing.assert_array_equal(
        first, NegativeSampler(np.arange(10), 50, 10).draw(seed=0, step=1)
    )
    assert not np.array_equal(first, sampler.draw(seed=0, step=2))
    assert first.dtype == np.int32


def test_a_sampler_that_makes_no_sense_is_refused() -> None:
    for arguments, words in (
        (([], 3, 5), "at least one item"),
        (([1, 1], 3, 5), "none twice"),
        (([1], 0, 5), "nor both 0"),
    ):
        with pytest.raises(ValueError, match=words):
            NegativeSampler(np.asarray(arguments[0], int), *arguments[1:])
    with pytest.raises(ValueError, match="needs popularity"):
        NegativeSampler(np.array([1]), 1, 5, in_batch=2)


def test_the_queue_holds_the_last_ones_and_forgets_the_oldest() -> None:
    queue = EmbeddingQueue(5, dim=2)
    assert len(queue) == 0
    assert queue.ids.tolist() == [-1] * 5
    kept: list[int] = []
    next_id = 0
    for size in (2, 0, 2, 3, 7, 1, 5):
        ids = np.arange(next_id, next_id + size)
        next_id += size
        queue.push(ids, np.stack([ids, -ids], 1))
        kept = [*kept, *ids.tolist()][-5:]
        present = queue.ids[queue.ids >= 0]
        assert sorted(present.tolist()) == kept
        assert len(queue) == len(kept)
        filled = queue.ids >= 0
        np.testing.assert_array_equal(queue.vectors[filled, 0], queue.ids[filled])
        np.testing.assert_array_equal(queue.vectors[~filled], 0)


def test_a_restored_queue_goes_on_as_if_never_interrupted() -> None:
    random = np.random.default_rng(3)
    whole, first, second = (EmbeddingQueue(7, 3) for _ in range(3))
    pushes = [(random.integers(0, 9, 4), random.normal(size=(4, 3))) for _ in range(6)]
    for number, push in enumerate(pushes):
        whole.push(*push)
        if number < 3:
            first.push(*push)
    second.restore(first.state())
    for push in pushes[3:]:
        second.push(*push)
    np.testing.assert_array_equal(whole.ids, second.ids)
    np.testing.assert_array_equal(whole.vectors, second.vectors)
    assert len(whole) == len(second) == 7


def test_wrong_pushes_are_refused() -> None:
    queue = EmbeddingQueue(4, 2)
    with pytest.raises(ValueError, match="push takes"):
        queue.push([1, 2], np.zeros((2, 3)))
    with pytest.raises(ValueError, match="must not be negative"):
        queue.push([-1], np.zeros((1, 2)))
    with pytest.raises(ValueError, match="finite"):
        queue.push([1], np.full((1, 2), np.nan))
    with pytest.raises(ValueError, match="at least 1"):
        EmbeddingQueue(0, 2)
    with pytest.raises(ValueError, match="capacity and dim"):
        EmbeddingQueue(5, 2).restore(queue.state())


def test_accidental_hits_are_all_that_a_person_took(consumed) -> None:
    random = np.random.default_rng(4)
    candidates = np.concatenate([[-1], random.integers(0, ITEMS, 30)])
    rows = [consumed[3], consumed[10], np.empty(0, np.int32)]
    masked = accidental_hits(candidates, rows, ITEMS)
    for row, taken in enumerate(rows):
        for column, item in enumerate(candidates.tolist()):
            assert masked[row, column] == (item < 0 or item in taken)
    groups = (np.arange(ITEMS) // 3).astype(np.int32)
    masked = accidental_hits(candidates, rows, ITEMS, groups=groups)
    for row, taken in enumerate(rows):
        for column, item in enumerate(candidates.tolist()):
            assert masked[row, column] == (item < 0 or groups[item] in groups[taken])
    with pytest.raises(ValueError, match="one an item"):
        accidental_hits(candidates, rows, ITEMS, groups=groups[:4])
