"""InfoNCE against numpy, against the full softmax, and against the gradient it is to have."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dualtower_trainer.losses import info_nce, info_nce_over_candidates, sampled_softmax

TAU = 0.25


def unit(random: np.random.Generator, *shape: int) -> np.ndarray:
    values = random.normal(size=shape)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def pairs(seed: int = 0, batch: int = 6, dim: int = 5) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return unit(random, batch, dim), unit(random, batch, dim)


def cross_entropy(logits: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Mean of -ln softmax at the diagonal, -inf for what does not count."""
    each = np.log(np.exp(logits).sum(1)) - np.diag(logits)
    return float(np.average(each, weights=weights))


def test_plain_and_symmetric_form_are_softmax_cross_entropies() -> None:
    users, items = pairs()
    logits = users @ items.T / TAU
    plain = info_nce(users, items, temperature=TAU)
    assert float(plain) == pytest.approx(cross_entropy(logits), rel=1e-9)
    both = info_nce(users, items, temperature=TAU, symmetric=True)
    assert float(both) == pytest.approx(
        (cross_entropy(logits) + cross_entropy(logits.T)) / 2, rel=1e-9
    )
    swapped = info_nce(items, users, temperature=TAU, symmetric=True)
    assert float(swapped) == pytest.approx(float(both), rel=1e-9)


def test_correction_masks_negatives_and_weights_as_the_formula_has_them() -> None:
    users, items = pairs(1)
    random = np.random.default_rng(2)
    extra, log_q, extra_log_q = unit(random, 7, 5), random.normal(size=6), random.normal(size=7)
    accidental, extra_accidental = random.random((6, 6)) < 0.3, random.random((6, 7)) < 0.3
    weights, user_log_q = random.uniform(0.1, 2, 6), random.normal(size=6)
    logits = users @ np.concatenate([items, extra]).T / TAU - np.concatenate([log_q, extra_log_q])
    masked = np.concatenate([accidental & ~np.eye(6, dtype=bool), extra_accidental], 1)
    forward = cross_entropy(np.where(masked, -np.inf, logits), weights)
    back = np.where(masked[:, :6], -np.inf, users @ items.T / TAU - user_log_q[:, None]).T
    arguments = {
        "temperature": TAU,
        "log_q": log_q,
        "accidental": accidental,
        "negatives": extra,
        "negatives_log_q": extra_log_q,
        "negatives_accidental": extra_accidental,
        "weights": weights,
    }
    assert float(info_nce(users, items, **arguments)) == pytest.approx(forward, rel=1e-9)
    both = info_nce(users, items, **arguments, user_log_q=user_log_q, symmetric=True)
    assert float(both) == pytest.approx((forward + cross_entropy(back, weights)) / 2, rel=1e-9)
    shifted = {**arguments, "log_q": log_q + 3, "negatives_log_q": extra_log_q + 3}
    assert float(info_nce(users, items, **shifted)) == pytest.approx(forward, rel=1e-9)


def test_corrected_form_is_the_papers_formula() -> None:
    users, items = pairs(3)
    random = np.random.default_rng(4)
    q = random.dirichlet(np.ones(6))
    accidental = random.random((6, 6)) < 0.2
    total = 0.0
    for row in range(6):
        valid = ~accidental[row]
        valid[row] = False
        scores = users[row] @ items.T / TAU
        ratio = q[valid] / (1 - q[row])
        mean = np.mean(np.exp(scores[valid]) / ratio)
        chance = np.exp(scores[row]) / (np.exp(scores[row]) + mean)
        total += (1 - chance) * (np.log(mean) - scores[row])
    ours = info_nce(
        users, items, temperature=TAU, log_q=np.log(q), accidental=accidental, corrected=True
    )
    assert float(ours) == pytest.approx(total / 6, rel=1e-8)


def test_a_row_without_negatives_costs_nothing_and_moves_nothing() -> None:
    users, items = (tf.Variable(each) for each in pairs(5))
    for corrected in (False, True):
        with tf.GradientTape() as tape:
            loss = info_nce(
                users, items, temperature=TAU, log_q=tf.fill([6], tf.constant(-2.0, tf.float64)),
                accidental=tf.ones([6, 6], tf.bool), corrected=corrected,
            )  # fmt: skip
        assert float(loss) == 0
        assert not np.any(tape.gradient(loss, users).numpy())


@pytest.mark.parametrize("corrected", [True, False])
def test_expected_gradient_of_the_corrected_form_is_that_of_the_full_softmax(corrected) -> None:
    """Many draws from a skewed sampler; the standard form stays off by its treated positive."""
    random = np.random.default_rng(6)
    user, items = unit(random, 1, 4), unit(random, 12, 4)
    q = random.dirichlet(np.full(12, 1.0))
    positive, tau, draws, batch = int(np.argmax(q)), 0.7, 120, 400
    logits = (user @ items.T / tau)[0]
    softmax = np.exp(logits) / np.exp(logits).sum()
    full = (softmax @ items - items[positive]) / tau
    drawn = random.choice(12, (batch, draws), p=q)
    variable = tf.Variable(np.repeat(user, batch, 0))
    with tf.GradientTape() as tape:
        negatives = tf.constant(items[drawn])
        scores = tf.einsum("bd,bnd->bn", variable, negatives) / tau
        own = tf.linalg.matvec(variable, tf.constant(items[positive])) / tau
        loss = _sampled_rows(own, scores, q, drawn, positive, corrected)
    gradients = tape.gradient(loss, variable).numpy()
    mean, error = gradients.mean(0), gradients.std(0) / np.sqrt(batch)
    off = np.abs(mean - full) / error
    assert (off < 5).all() if corrected else (off > 10).any()


def _sampled_rows(own, scores, q, drawn, positive, corrected) -> tf.Tensor:
    """Sum of one-row losses: each row with its own draws, by `info_nce` in one dimension.

    With user (1) and items (score) a dot product is the score itself, so the loss under test is
    applied to any scores.
    """
    rows = []
    for row in range(drawn.shape[0]):
        rows.append(
            info_nce(
                tf.ones([1, 1], tf.float64),
                own[row][None, None],
                temperature=tf.constant(1.0, tf.float64),
                log_q=np.log(q[[positive]]),
                negatives=scores[row][:, None],
                negatives_log_q=np.log(q[drawn[row]]),
                negatives_accidental=(drawn[row] == positive)[None],
                corrected=corrected,
            )
        )
    return tf.add_n(rows)


def test_corrected_over_candidates_has_the_gradient_of_sampled_softmax(example) -> None:
    arguments = example.arguments()
    gradients = []
    for loss, options in ((sampled_softmax, {}), (info_nce_over_candidates, {"corrected": True})):
        users = tf.Variable(arguments["users"])
        candidates = tf.Variable(arguments["candidates"])
        with tf.GradientTape() as tape:
            value = loss(**{**arguments, "users": users, "candidates": candidates}, **options)
        gradients.append(tape.gradient(value, [users, candidates]))
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-14)


def test_over_candidates_agrees_with_a_loop_over_positives(example) -> None:
    a = example.arguments()
    for symmetric in (False, True):
        total = 0.0
        for row in range(len(a["users"])):
            for place in range(a["positive_mask"].shape[1]):
                column = row * a["positive_mask"].shape[1] + place
                weight = a["positive_mask"][row, place] * a["weights"][row, place]
                logits = a["users"][row] @ a["candidates"].T / example.temperature
                logits = logits - a["log_expected_count"]
                valid = np.append(np.flatnonzero(~a["accidental"][row]), column)
                value = np.log(np.exp(logits[valid]).sum()) - logits[column]
                if symmetric:
                    back = a["users"] @ a["positives"][row, place] / example.temperature
                    keep = ~a["accidental"][:, column]
                    keep[row] = True
                    value = (value + np.log(np.exp(back[keep]).sum()) - back[row]) / 2
                total += weight * value
        total /= (a["positive_mask"] * a["weights"]).sum()
        ours = info_nce_over_candidates(**a, symmetric=symmetric)
        assert float(ours) == pytest.approx(total, rel=1e-9)


def test_wrong_use_says_what_is_missing() -> None:
    users, items = pairs()
    with pytest.raises(ValueError, match="needs log_q"):
        info_nce(users, items, temperature=TAU, corrected=True)
    with pytest.raises(ValueError, match="together or neither"):
        info_nce(users, items, temperature=TAU, negatives=items, log_q=np.zeros(6))
