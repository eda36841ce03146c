"""The temperature: its value, its gradient, and that it neither leaves its bounds nor sticks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from dualtower_trainer.losses import Temperature


def gradient_at(log_value: float, direction: float) -> float:
    temperature = Temperature(0.1, minimum=0.05, maximum=0.2)
    temperature.log_value.assign(log_value)
    with tf.GradientTape() as tape:
        loss = direction * temperature()
    return float(tape.gradient(loss, temperature.log_value))


def test_inside_it_is_the_exponential_with_its_gradient() -> None:
    temperature = Temperature(0.1, minimum=0.05, maximum=0.2)
    assert float(temperature()) == pytest.approx(0.1, rel=1e-6)
    assert gradient_at(math.log(0.1), 1.0) == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize(
    ("value", "direction", "passes"),
    [(0.01, 1.0, False), (0.01, -1.0, True), (0.5, -1.0, False), (0.5, 1.0, True)],
)
def test_outside_only_the_way_back_has_a_gradient(value, direction, passes) -> None:
    gradient = gradient_at(math.log(value), direction)
    bound = 0.05 if value < 0.05 else 0.2
    assert gradient == pytest.approx(direction * bound if passes else 0.0, rel=1e-6)


def test_descent_stops_at_the_bound_and_comes_back() -> None:
    temperature = Temperature(0.1, minimum=0.05, maximum=0.2)
    optimizer = tf.keras.optimizers.SGD(0.5)
    seen = []
    for target in [0.0] * 40 + [0.15] * 200:
        with tf.GradientTape() as tape:
            loss = 10 * tf.square(temperature() - target)
        gradient = tape.gradient(loss, temperature.log_value)
        optimizer.apply_gradients([(gradient, temperature.log_value)])
        seen.append(float(temperature()))
    assert min(seen) == pytest.approx(0.05, rel=1e-6)
    assert seen[-1] == pytest.approx(0.15, rel=1e-3)


def test_it_compiles_and_can_be_held_still() -> None:
    temperature = Temperature(0.1, minimum=0.05, maximum=0.2)

    @tf.function(jit_compile=True, autograph=False)
    def gradient():
        with tf.GradientTape() as tape:
            value = temperature() ** 2
        return tape.gradient(value, temperature.log_value)

    np.testing.assert_allclose(gradient(), 2 * 0.1**2, rtol=1e-5)
    assert [v.name for v in temperature.trainable_variables] == ["log_temperature:0"]
    assert not Temperature(0.1, minimum=0.1, maximum=0.1, learnable=False).trainable_variables


@pytest.mark.parametrize("bounds", [(0.2, 0.3), (0.01, 0.05), (0.0, 0.2), (-1.0, 0.2)])
def test_bounds_must_hold_the_start(bounds) -> None:
    with pytest.raises(ValueError, match="minimum <= initial <= maximum"):
        Temperature(0.1, minimum=bounds[0], maximum=bounds[1])
