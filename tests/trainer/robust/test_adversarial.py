"""Perturbations against numeric gradients and by hand; and what they do to a training step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from dualtower_trainer.adversarial import adversarial_loss, fgm, pgd, project_rows, unit_rows
from dualtower_trainer.adversarial_config import AdversarialConfig
from dualtower_trainer.closed_form.choose import Choice
from dualtower_trainer.data import Dataset, split
from dualtower_trainer.item_texts import ItemTexts
from dualtower_trainer.learner_setup import closed_form_of, make_learner, make_sampler
from dualtower_trainer.run_config import RunConfig

WEIGHTS = np.random.default_rng(1).normal(size=(5, 4))


def curved(points: list) -> tf.Tensor:
    """A smooth loss of two sets of points that is not linear in either."""
    weights = tf.constant(WEIGHTS, points[0].dtype)
    scores = tf.matmul(tf.matmul(points[0], weights), points[1], transpose_b=True)
    return tf.reduce_mean(tf.nn.softplus(scores)) + 0.1 * tf.reduce_sum(tf.sin(3 * points[0]))


def two_sets(dtype: type = np.float32) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(size=(3, 5)).astype(dtype), random.normal(size=(6, 4)).astype(dtype)]


def numeric_slopes(points: list[np.ndarray]) -> list[np.ndarray]:
    """Central differences in float64."""
    step, slopes = 1e-6, []
    for place, point in enumerate(points):
        slope = np.zeros_like(point)
        for at in np.ndindex(*point.shape):
            ends = []
            for sign in (1, -1):
                moved = [value.copy() for value in points]
                moved[place][at] += sign * step
                ends.append(float(curved([tf.constant(value) for value in moved])))
            slope[at] = (ends[0] - ends[1]) / (2 * step)
        slopes.append(slope)
    return slopes


def radii_of(points: list[np.ndarray], epsilon: float) -> list[tf.Tensor]:
    return [tf.fill([len(point), 1], np.float32(epsilon)) for point in points]


def test_fgm_goes_along_the_numeric_gradient_and_is_epsilon_long() -> None:
    points = two_sets()
    deltas = fgm(curved, [tf.constant(p) for p in points], radii_of(points, 0.3))
    for delta, slope in zip(deltas, numeric_slopes(two_sets(np.float64)), strict=True):
        expected = 0.3 * slope / np.linalg.norm(slope, axis=1, keepdims=True)
        np.testing.assert_allclose(delta.numpy(), expected, atol=2e-5)
        np.testing.assert_allclose(np.linalg.norm(delta.numpy(), axis=1), 0.3, rtol=1e-5)


def test_pgd_follows_its_definition_step_by_step() -> None:
    points = two_sets(np.float64)
    moved = [np.zeros_like(point) for point in points]
    for _ in range(3):
        slopes = numeric_slopes([p + d for p, d in zip(points, moved, strict=True)])
        moved = [
            d + 0.5 * 0.2 * g / np.linalg.norm(g, axis=1, keepdims=True)
            for d, g in zip(moved, slopes, strict=True)
        ]
        moved = [d * np.minimum(1, 0.2 / np.linalg.norm(d, axis=1, keepdims=True)) for d in moved]
    single = two_sets()
    found = pgd(
        curved, [tf.constant(p) for p in single], radii_of(single, 0.2), steps=3, step_size=0.5
    )
    for delta, expected in zip(found, moved, strict=True):
        np.testing.assert_allclose(delta.numpy(), expected, atol=5e-5)


@pytest.mark.parametrize("epsilon", [0.01, 0.5, 2.0])
def test_pgd_stays_in_its_ball_and_finds_a_loss_no_lower_than_fgm(epsilon: float) -> None:
    points = [tf.constant(point) for point in two_sets()]
    radii = radii_of(points, epsilon)
    strong = pgd(curved, points, radii, steps=8, step_size=0.3)
    for delta in strong:
        assert np.linalg.norm(delta.numpy(), axis=1).max() <= epsilon * (1 + 1e-5)

    def loss(deltas: list) -> float:
        return float(curved([p + d for p, d in zip(points, deltas, strict=True)]))

    weak = loss(fgm(curved, points, radii))
    assert loss(strong) >= weak - 1e-4 * abs(weak)
    assert weak > float(curved(points))


def test_one_whole_step_of_pgd_is_fgm() -> None:
    points = [tf.constant(point) for point in two_sets()]
    radii = radii_of(points, 0.1)
    for one, other in zip(
        pgd(curved, points, radii, steps=1, step_size=1.0), fgm(curved, points, radii), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_rows_without_a_gradient_stay_where_they_are() -> None:
    points = [tf.constant(point) for point in two_sets()]
    blind = fgm(lambda at: tf.reduce_sum(at[0][0] ** 2), points, radii_of(two_sets(), 0.1))
    assert np.linalg.norm(blind[0][0]) > 0
    assert not blind[0][1:].numpy().any()
    assert not blind[1].numpy().any()


def test_rows_are_scaled_however_small_they_are() -> None:
    rows = np.array([[3e-28, 4e-28], [0, 0], [3e18, 4e18]], np.float32)
    np.testing.assert_allclose(unit_rows(tf.constant(rows)), [[0.6, 0.8], [0, 0], [0.6, 0.8]])
    short = project_rows(tf.constant([[3.0, 4.0], [0.3, 0.4], [0, 0]]), tf.ones([3, 1]))
    np.testing.assert_allclose(short, [[0.6, 0.8], [0.3, 0.4], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize("kind", ["fgm", "pgd"])
def test_the_perturbation_is_a_constant_to_the_gradient(kind: str) -> None:
    config = AdversarialConfig(kind=kind, epsilon=0.2)
    points = [tf.Variable(point) for point in two_sets()]
    with tf.GradientTape() as tape:
        loss = adversarial_loss(curved, [tf.identity(p) for p in points], config)
    found = tape.gradient(loss, points)
    fixed = [tf.constant(point) for point in two_sets()]
    radii = [config.epsilon * tf.norm(point, axis=1, keepdims=True) for point in fixed]
    deltas = (
        fgm(curved, fixed, radii)
        if kind == "fgm"
        else pgd(curved, fixed, radii, steps=config.steps, step_size=config.step_size)
    )
    there = [p.numpy().astype(np.float64) + d.numpy() for p, d in zip(fixed, deltas, strict=True)]
    for slope, expected in zip(found, numeric_slopes(there), strict=True):
        np.testing.assert_allclose(slope, expected, atol=2e-5)


@pytest.mark.parametrize("kind", ["fgm", "pgd"])
def test_it_compiles_with_xla(kind: str) -> None:
    config = AdversarialConfig(kind=kind)

    def value_and_slope(first: tf.Tensor, second: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([first, second])
            loss = adversarial_loss(curved, [first, second], config)
        return [loss, *tape.gradient(loss, [first, second])]

    points = [tf.constant(point) for point in two_sets()]
    plain = value_and_slope(*points)
    compiled = tf.function(value_and_slope, jit_compile=True, autograph=False)(*points)
    for one, other in zip(plain, compiled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"kind": "sgd"}, "kind must be one of off, fgm, pgd, got 'sgd'"),
        ({"epsilon": 0.0}, "epsilon"),
        ({"epsilon": 1.5}, "epsilon"),
        ({"steps": 0}, "steps"),
        ({"step_size": 0.0}, "step_size"),
        ({"weight": 0.0}, "weight"),
    ],
)
def test_settings_that_mean_nothing_are_refused(options: dict, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        AdversarialConfig(**options)


def first_losses(
    dataset: Dataset, texts: ItemTexts, config: RunConfig, kind: str, steps: int
) -> list[float]:
    config = replace(config, adversarial=AdversarialConfig(kind=kind, epsilon=0.1, weight=0.5))
    parts = split(dataset, config.split)
    learner, sampler = make_learner(parts, texts, config), make_sampler(parts, config)
    choice = Choice(30.0, 0.0, 0.0)
    learner.start_from(closed_form_of(parts, texts, config, choice), prior=0.0)
    return [learner.step(sampler.batch(seed=0, step=step), step) for step in range(steps)]


def test_the_step_adds_the_weighted_loss_at_the_worse_embeddings(
    tastes_of_three_kinds: Dataset,
    numbered_texts: Callable[..., ItemTexts],
    small_config: RunConfig,
) -> None:
    texts = numbered_texts(90)
    losses = {
        kind: first_losses(tastes_of_three_kinds, texts, small_config, kind, 20)
        for kind in ("off", "fgm", "pgd")
    }
    clean = losses["off"][0]
    assert clean + 0.5 * clean < losses["fgm"][0] < clean + 0.5 * (clean + 2.0)
    assert losses["pgd"][0] >= losses["fgm"][0] - 1e-3
    for found in losses.values():
        assert np.mean(found[-5:]) < np.mean(found[:5])
