"""The towers against their formulas in plain numpy, and their limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

import dualtower_trainer  # noqa: F401  before TensorFlow
from dualtower_trainer.towers import (
    TowerConfig,
    build_item_head,
    build_user_tower,
    read_weights,
    write_weights,
)

CONFIG = TowerConfig(dim=8, history_items=5, hidden_units=12)


def randomised(model, seed: int):
    random = np.random.default_rng(seed)
    weights = {
        name: random.normal(0, 0.5, value.shape).astype(np.float32)
        for name, value in read_weights(model).items()
    }
    write_weights(model, weights)
    return model, weights


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + erf(x / np.sqrt(2)))


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_the_item_head_is_its_formula() -> None:
    head, w = randomised(build_item_head(CONFIG, 6), 0)
    random = np.random.default_rng(1)
    pooled, residual = random.normal(size=(4, 6)), random.normal(size=(4, 8))
    found = head({"pooled": pooled.astype("f"), "id_vector": residual.astype("f")}).numpy()
    projected = unit(pooled - w["centre/mean"]) @ w["project/kernel"] + w["project/bias"]
    np.testing.assert_allclose(found, unit(projected + residual), atol=1e-5)


def test_the_user_tower_is_its_formula() -> None:
    tower, w = randomised(build_user_tower(CONFIG), 2)
    random = np.random.default_rng(3)
    items = random.normal(size=(3, 5, 8))
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], np.float64)
    found = tower({"items": items.astype("f"), "mask": mask.astype("f")}).numpy()
    hidden = gelu(items @ w["value_hidden/kernel"] + w["value_hidden/bias"])
    values = items @ w["value_linear/kernel"] + hidden @ w["value_out/kernel"]
    weights = np.exp((items @ w["pool/attention"])[..., 0] + w["pool/position"]) * mask
    pooled = np.einsum("bh,bhd->bd", weights, values) / np.sqrt(1 + weights.sum(1))[:, None]
    pooled += w["pool/prior"]
    person = gelu(pooled @ w["person_hidden/kernel"] + w["person_hidden/bias"])
    np.testing.assert_allclose(found, unit(pooled + person @ w["person_out/kernel"]), atol=1e-5)


def test_nobody_gets_the_learned_prior_whatever_lies_behind_the_mask() -> None:
    tower, _ = randomised(build_user_tower(CONFIG), 4)
    random = np.random.default_rng(5)
    nothing = np.zeros((2, 5), np.float32)
    found = tower({"items": random.normal(size=(2, 5, 8)).astype("f"), "mask": nothing}).numpy()
    assert np.isfinite(found).all()
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(found[0], found[1])


def test_weights_of_another_shape_are_refused() -> None:
    head = build_item_head(CONFIG, 6)
    weights = read_weights(head)
    with pytest.raises(ValueError, match="missing"):
        write_weights(head, {name: weights[name] for name in list(weights)[1:]})
    with pytest.raises(ValueError, match="expected"):
        write_weights(head, {**weights, "project/bias": np.zeros(3, np.float32)})


@pytest.mark.parametrize("wrong", [{"dim": 2}, {"history_items": 0}, {"hidden_units": 10**6}])
def test_a_shape_out_of_range_quotes_the_range(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must be from .* got"):
        TowerConfig(**wrong)
