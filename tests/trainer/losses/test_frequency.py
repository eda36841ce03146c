"""The streaming estimate against the probabilities that made the stream."""

from __future__ import annotations

import numpy as np
import pytest

from dualtower_trainer.losses import StreamingFrequency

ITEMS = 40


def chances() -> np.ndarray:
    return np.geomspace(0.5, 0.02, ITEMS)


def run(frequency: StreamingFrequency, steps: int, *, first: int = 1, seed: int = 0) -> None:
    random = np.random.default_rng((seed, first))
    for step in range(first, first + steps):
        frequency.update(np.flatnonzero(random.random(ITEMS) < chances()), step)


def test_by_row_finds_the_probability_of_each_item() -> None:
    estimates = []
    for seed in range(20):
        frequency = StreamingFrequency.by_row(ITEMS, rate=0.05)
        run(frequency, 600, seed=seed)
        estimates.append(np.exp(-frequency.log_q(np.arange(ITEMS)).astype(np.float64)))
    gaps = np.mean(estimates, 0)  # the gap is what is estimated without bias, not its inverse
    error = np.std(estimates, 0) / np.sqrt(20)
    assert (np.abs(gaps - 1 / chances()) < 5 * error + 1e-6).all()
    assert (np.std(estimates, 0) * chances() < 0.5).all()


def test_first_estimates_are_plain_means_of_the_gaps() -> None:
    frequency = StreamingFrequency.by_row(3, rate=0.1)
    frequency.update([0], 1)
    frequency.update([0, 1], 3)
    log_q = frequency.update([0, 0, 2], 9)
    np.testing.assert_allclose(np.exp(-log_q), [(1 + 2 + 6) / 3] * 2 + [9], rtol=1e-6)
    np.testing.assert_allclose(np.exp(-frequency.log_q([1])), 3, rtol=1e-6)


def test_an_item_never_seen_is_rarer_than_any_seen_one() -> None:
    frequency = StreamingFrequency.by_row(5)
    for step in range(1, 30):
        frequency.update([0, 1 + step % 2], step)
    assert np.exp(-frequency.log_q([4])[0]) == pytest.approx(30)
    assert frequency.log_q([[0, 1], [2, 4]]).argmin() == 3


def test_it_follows_a_change() -> None:
    frequency = StreamingFrequency.by_row(1, rate=0.1)
    for step in range(10, 1001, 10):
        frequency.update([0], step)
    assert np.exp(-frequency.log_q([0])[0]) == pytest.approx(10, rel=0.01)
    for step in range(1001, 1101):
        frequency.update([0], step)
    assert np.exp(-frequency.log_q([0])[0]) == pytest.approx(1, rel=0.01)


def test_many_slots_agree_with_rows_and_few_only_overestimate() -> None:
    rows = StreamingFrequency.by_row(ITEMS)
    wide = StreamingFrequency.hashed(1 << 14, hashes=2)
    one, three = (StreamingFrequency.hashed(37, hashes=count) for count in (1, 3))
    for each in (rows, wide, one, three):
        run(each, 300)
    ids = np.arange(ITEMS)
    np.testing.assert_allclose(wide.log_q(ids), rows.log_q(ids), rtol=1e-6)
    truth = rows.log_q(ids)
    excess = [np.mean(each.log_q(ids) - truth) for each in (one, three)]
    assert excess[0] > excess[1] > 0, "of several hash functions the longest gap is the best one"


def test_a_restored_state_goes_on_as_if_never_interrupted() -> None:
    for make in (lambda: StreamingFrequency.by_row(ITEMS), lambda: StreamingFrequency.hashed(64)):
        whole, first, second = make(), make(), make()
        run(whole, 50)
        run(whole, 50, first=51)
        run(first, 50)
        second.restore({name: array.copy() for name, array in first.state().items()})
        run(second, 50, first=51)
        for name, array in whole.state().items():
            np.testing.assert_array_equal(array, second.state()[name])


def test_wrong_use_is_refused() -> None:
    frequency = StreamingFrequency.by_row(4)
    frequency.update([1], 5)
    with pytest.raises(ValueError, match="step must be above 5"):
        frequency.update([1], 5)
    with pytest.raises(ValueError, match="from 0 to 3"):
        frequency.update([4], 6)
    with pytest.raises(ValueError, match="rate in"):
        StreamingFrequency.by_row(4, rate=0)
    with pytest.raises(ValueError, match="arguments of the run"):
        StreamingFrequency.by_row(5).restore(frequency.state())
