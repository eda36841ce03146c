"""Metrics of the heads and what they are held against, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dualtower_trainer.heads import RatingBiases, event_baseline, event_quality, rating_rmse


def test_accuracy_and_log_loss() -> None:
    chances = np.array([[0.7, 0.3], [0.4, 0.6], [0.9, 0.1], [1.0, 0.0]], np.float32)
    accuracy, log_loss = event_quality(chances, np.array([0, 1, 1, 0]))
    assert accuracy == 0.75
    assert log_loss == pytest.approx(-(math.log(0.7) + math.log(0.6) + math.log(0.1)) / 4, rel=1e-6)
    assert math.isfinite(event_quality(chances[3:], np.array([1]))[1])


def test_the_usual_event_is_that_of_training() -> None:
    accuracy, log_loss = event_baseline(np.array([2, 2, 2, 0]), np.array([2, 0]), 3)
    assert accuracy == 0.5
    assert log_loss == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2)


def test_rmse_of_one_number_and_of_many() -> None:
    asked = np.array([1.0, 5.0], np.float32)
    assert rating_rmse(3.0, asked) == 2
    assert rating_rmse([1.0, 4.0], asked) == pytest.approx(math.sqrt(0.5))


def test_biases_are_the_damped_means() -> None:
    users, items = np.array([0, 0, 1]), np.array([1, 0, 1])
    biases = RatingBiases.fit(
        users, items, np.array([5.0, 2.0, 4.0], np.float32), n_users=3, n_items=3
    )
    mean = 11 / 3
    by_item = [(2 - mean) / 26, ((5 - mean) + (4 - mean)) / 27, 0]
    rest = [5 - mean - by_item[1], 2 - mean - by_item[0], 4 - mean - by_item[1]]
    by_user = [(rest[0] + rest[1]) / 12, rest[2] / 11, 0]
    expected = [mean + by_user[0] + by_item[1], mean + by_user[2] + by_item[2]]
    np.testing.assert_allclose(biases.predict(np.array([0, 2]), np.array([1, 2])), expected)
