"""The softmax of linked scores against numpy, and where it becomes the plain one."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dualtower_trainer.losses import linked_softmax, sampled_softmax


def problem(seed: int = 0, users: int = 4, targets: int = 2, drawn: int = 6, dim: int = 5):
    random = np.random.default_rng(seed)

    def unit(*shape: int) -> np.ndarray:
        vectors = random.normal(size=(*shape, dim))
        return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)

    positives = unit(users, targets)
    candidates = np.concatenate([positives.reshape(-1, dim), unit(drawn)])
    mask = np.ones((users, targets), np.float32)
    mask[1, 1] = 0
    accidental = random.random((users, len(candidates))) < 0.2
    for user in range(users):
        accidental[user, user * targets : (user + 1) * targets] = True
    log_q = random.normal(size=len(candidates)).astype(np.float32)
    weights = random.uniform(0.5, 2, (users, targets)).astype(np.float32)
    return unit(users), positives, mask, candidates, log_q, accidental, weights


def share(x: float) -> float:
    return float(np.log1p(np.exp(x))) if x > -30 else float(np.exp(x))


@pytest.mark.parametrize("temperature", [0.05, 0.3, 2.0])
def test_it_is_a_sum_over_shares(temperature: float) -> None:
    users, positives, mask, candidates, log_q, accidental, weights = problem()
    total, weight = 0.0, 0.0
    for user in range(len(users)):
        others = sum(
            share(float(users[user] @ candidate) / temperature) / np.exp(float(q))
            for candidate, q, taken in zip(candidates, log_q, accidental[user], strict=True)
            if not taken
        )
        for place in range(positives.shape[1]):
            own = share(float(users[user] @ positives[user, place]) / temperature)
            counts = float(mask[user, place] * weights[user, place])
            total -= counts * np.log(own / (own + others))
            weight += counts
    found = linked_softmax(
        users, positives, mask, candidates, log_q, accidental, temperature, weights
    )
    assert float(found) == pytest.approx(total / weight, rel=1e-5)


def test_far_below_zero_it_is_the_plain_softmax() -> None:
    """softplus(x) is eˣ there, so ln softplus(x) = x: people opposite to every item."""
    users, positives, mask, candidates, log_q, accidental, _ = problem()
    opposite = np.tile(users[:1], (len(users), 1))
    shifted = [
        (rows - 3 * users[0]) / np.linalg.norm(rows - 3 * users[0], axis=-1, keepdims=True)
        for rows in (positives, candidates)
    ]
    arguments = (opposite, shifted[0], mask, shifted[1], log_q, accidental, 0.03)
    assert float(linked_softmax(*arguments)) == pytest.approx(
        float(sampled_softmax(*arguments)), rel=1e-6
    )


def test_its_gradient_is_the_numeric_one() -> None:
    users, positives, mask, candidates, log_q, accidental, weights = problem()
    variable = tf.Variable(users)
    with tf.GradientTape() as tape:
        loss = linked_softmax(
            variable, positives, mask, candidates, log_q, accidental, 0.4, weights
        )
    gradient = tf.convert_to_tensor(tape.gradient(loss, variable)).numpy()
    for place in ((0, 0), (1, 3), (3, 4)):
        values = []
        for step in (1e-2, -1e-2):
            moved = users.copy()
            moved[place] += step
            values.append(
                float(
                    linked_softmax(
                        moved, positives, mask, candidates, log_q, accidental, 0.4, weights
                    )
                )
            )
        assert gradient[place] == pytest.approx((values[0] - values[1]) / 2e-2, abs=2e-4)


def test_no_score_however_low_makes_a_nan() -> None:
    users, positives, mask, candidates, log_q, accidental, _ = problem()
    variable = tf.Variable(users)
    with tf.GradientTape() as tape:
        loss = linked_softmax(variable, positives, mask, -50 * candidates, log_q, accidental, 1e-3)
    assert np.isfinite(float(loss))
    assert np.isfinite(tf.convert_to_tensor(tape.gradient(loss, variable)).numpy()).all()
