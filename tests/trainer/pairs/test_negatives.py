"""The queue and the mask of accidental hits."""

from __future__ import annotations

import numpy as np
import pytest

from dualtower_trainer.pairs import EmbeddingQueue, accidental_hits

ITEMS = 48


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
