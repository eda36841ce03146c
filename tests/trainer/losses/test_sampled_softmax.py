"""The sampled softmax against the full softmax, and against its own formula in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import dualtower_trainer  # noqa: F401  before TensorFlow
from dualtower_trainer.losses import sampled_softmax


def unit(random: np.random.Generator, *shape: int) -> np.ndarray:
    values = random.normal(size=shape).astype(np.float32)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def loss_of(users, positives, mask, candidates, log_q, accidental, temperature=0.1) -> float:
    return float(
        sampled_softmax(
            tf.constant(users),
            tf.constant(positives),
            tf.constant(mask, tf.float32),
            tf.constant(candidates),
            tf.constant(log_q, tf.float32),
            tf.constant(accidental),
            tf.constant(temperature),
        )
    )


def test_with_every_item_once_it_is_the_full_softmax() -> None:
    random = np.random.default_rng(0)
    users, items = unit(random, 5, 8), unit(random, 40, 8)
    targets = random.integers(0, 40, (5, 1))
    accidental = np.arange(40)[None] == targets
    ours = loss_of(users, items[targets], np.ones((5, 1)), items, np.zeros(40), accidental)
    logits = users @ items.T / 0.1
    chosen = np.take_along_axis(logits, targets, 1)[:, 0]
    full = np.mean(np.log(np.exp(logits).sum(1)) - chosen)
    assert ours == pytest.approx(full, rel=1e-5)


def test_the_correction_makes_the_sampled_sum_unbiased() -> None:
    """Mean of Σ e^(s - ln c) over many draws is Σ e^s over all items, whatever the sampler."""
    random = np.random.default_rng(1)
    users, items = unit(random, 1, 8), unit(random, 60, 8)
    rate = random.dirichlet(np.full(60, 0.5))
    draws = 4_000
    scores = (users @ items.T)[0] / 0.5
    exact = np.exp(scores).sum()
    sums = []
    for _ in range(300):
        drawn = random.choice(60, draws // 10, p=rate)
        log_count = np.log(rate[drawn] * len(drawn))
        # a positive with score p gives loss = ln(1 + Σ e^(s - ln c) / e^p): solve for the sum
        loss = loss_of(
            users, items[:1][None], np.ones((1, 1)), items[drawn], log_count,
            np.zeros((1, len(drawn)), bool), 0.5,
        )  # fmt: skip
        sums.append((np.exp(loss) - 1) * np.exp(scores[0]))
    error = np.std(sums) / np.sqrt(len(sums))
    assert abs(np.mean(sums) - exact) < 4 * error
    assert error < 0.05 * exact


def test_with_more_draws_it_comes_closer_to_the_full_softmax() -> None:
    random = np.random.default_rng(4)
    users, items = unit(random, 4, 8), unit(random, 50, 8)
    rate = random.dirichlet(np.full(50, 2.0))
    targets = random.integers(0, 50, 4)
    logits = users @ items.T / 0.3
    full = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(4), targets])
    errors = []
    for draws in (100, 1_600, 25_600):
        losses = []
        for _ in range(30):
            drawn = random.choice(50, draws, p=rate)
            losses.append(
                loss_of(
                    users,
                    items[targets][:, None],
                    np.ones((4, 1)),
                    items[drawn],
                    np.log(rate[drawn] * draws),
                    drawn[None] == targets[:, None],
                    0.3,
                )
            )
        errors.append(np.sqrt(np.mean((np.array(losses) - full) ** 2)))
    ratios = [errors[0] / errors[1], errors[1] / errors[2]]
    assert np.all(np.array(ratios) > 2), "sixteen times the draws, a quarter of the error"
    assert errors[2] < 0.01 * full


def test_accidental_hits_and_padded_targets_do_not_count() -> None:
    random = np.random.default_rng(2)
    users, items = unit(random, 3, 8), unit(random, 20, 8)
    targets = random.integers(0, 20, (3, 2))
    mask = np.array([[1, 1], [1, 0], [1, 1]])
    accidental = random.random((3, 20)) < 0.4
    log_q = random.normal(size=20)
    before = loss_of(users, items[targets], mask, items, log_q, accidental)
    moved = items[targets].copy()
    moved[1, 1] = unit(random, 8)
    assert loss_of(users, moved, mask, items, log_q, accidental) == pytest.approx(before, rel=1e-6)

    logits = (users @ items.T / 0.1 - log_q).astype(np.float64)
    logits[accidental] = -np.inf
    total, count = 0.0, 0
    for user in range(3):
        for place in range(2):
            if mask[user, place]:
                positive = float(users[user] @ items[targets[user, place]]) / 0.1
                total += np.logaddexp(positive, np.logaddexp.reduce(logits[user])) - positive
                count += 1
    assert before == pytest.approx(total / count, rel=1e-4)


def test_gradients_equal_finite_differences() -> None:
    random = np.random.default_rng(3)
    users, items = unit(random, 2, 4), unit(random, 6, 4)
    variable = tf.Variable(users.astype(np.float64))

    def value(at):
        return sampled_softmax(
            at,
            tf.constant(items[[0, 1]][:, None], tf.float64),
            tf.ones([2, 1], tf.float64),
            tf.constant(items, tf.float64),
            tf.zeros([6], tf.float64),
            tf.constant(np.eye(2, 6, dtype=bool)),
            tf.constant(0.2, tf.float64),
        )

    with tf.GradientTape() as tape:
        loss = value(variable)
    exact = tape.gradient(loss, variable).numpy()
    numeric = np.zeros_like(exact)
    for index in np.ndindex(*exact.shape):
        step = np.zeros_like(exact)
        step[index] = 1e-6
        numeric[index] = (value(variable + step) - value(variable - step)) / 2e-6
    np.testing.assert_allclose(exact, numeric, rtol=1e-5, atol=1e-7)
