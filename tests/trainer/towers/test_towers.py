"""The towers against their formulas in plain numpy, and their limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

import dualtower_trainer  # noqa: F401  before TensorFlow
from dualtower_trainer.towers import (
    ItemShape,
    TowerConfig,
    build_item_head,
    build_user_tower,
    fit_into_ball,
    read_weights,
    write_weights,
)

CONFIG = TowerConfig(dim=8, history_items=5, hidden_units=12)
NO_GRAMS = ItemShape(hidden=6)


def randomised(model, seed: int):
    random = np.random.default_rng(seed)
    weights = {
        name: random.normal(0, 0.3, value.shape).astype(np.float32)
        for name, value in read_weights(model).items()
        if value.dtype == np.float32
    }
    write_weights(model, {**read_weights(model), **weights})
    return model, weights


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + erf(x / np.sqrt(2)))


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def filled_up(parts: np.ndarray) -> np.ndarray:
    """Row by row: what is missing to length 1 is the last number."""
    rows = []
    for row in parts.astype(np.float64):
        square = float(row @ row)
        if square > 0.999:
            row, square = row * np.sqrt(0.999 / square), 0.999
        rows.append([*row, np.sqrt(1 - square)])
    return np.array(rows)


def person_of(w: dict[str, np.ndarray], items: np.ndarray) -> np.ndarray:
    """One user from the items [history, dim] of a history, the most recent first."""
    items = items.astype(np.float64)
    weights = np.exp(np.clip(items @ w["pool/attention"][:, 0] + w["pool/position"][: len(items)],
                             -8, 8))  # fmt: skip
    pooled = sum((weight * row for weight, row in zip(weights, items, strict=True)), np.zeros(8))
    turned = pooled / np.sqrt(1 + len(items)) @ w["turn/kernel"] + w["turn/bias"]
    hidden = gelu(unit(turned) @ w["person_hidden/kernel"] + w["person_hidden/bias"])
    person = unit(turned) + hidden @ w["person_out/kernel"]
    person[-2:] = 0
    return unit(person)


def head_inputs(pooled: np.ndarray, residual: np.ndarray) -> dict[str, np.ndarray]:
    ids = np.zeros((len(pooled), 3), np.int32)
    return {
        "pooled": pooled.astype("f"), "ids": ids, "mask": np.ones_like(ids),
        "id_vector": residual.astype("f"),
    }  # fmt: skip


def test_the_item_head_is_its_formula() -> None:
    head, w = randomised(build_item_head(CONFIG, NO_GRAMS), 0)
    wide = head.get_layer("wide")
    wide.set_weights([np.zeros_like(weight) for weight in wide.get_weights()])
    random = np.random.default_rng(1)
    pooled, residual = random.normal(size=(4, 6)), random.normal(size=(4, 7)) * 0.2
    found = head(head_inputs(pooled, residual)).numpy()
    projected = unit(pooled - w["centre/mean"]) @ w["project/kernel"] + w["project/bias"]
    np.testing.assert_allclose(found, filled_up(projected + residual), atol=1e-5)


@pytest.mark.parametrize("length", [0.0, 1e-9, 0.5, np.sqrt(0.999), 1.0, 50.0])
def test_what_is_fitted_into_the_ball_has_length_one_in_numpy_and_in_the_graph(
    length: float,
) -> None:
    random = np.random.default_rng(2)
    parts = (unit(random.normal(size=(9, 7))) * length).astype(np.float32)
    found = fit_into_ball(parts)
    np.testing.assert_allclose(found, filled_up(parts), atol=2e-4)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    layer = build_item_head(CONFIG, NO_GRAMS).get_layer("embedding")
    np.testing.assert_allclose(layer(parts).numpy(), found, atol=2e-4)
    if length < 1:
        np.testing.assert_allclose(found[:, :-1], parts, atol=1e-6)


def test_the_user_tower_is_its_formula() -> None:
    tower, w = randomised(build_user_tower(CONFIG), 2)
    items = np.random.default_rng(3).normal(size=(3, 5, 8))
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], np.float32)
    found = tower({"items": items.astype("f"), "mask": mask}).numpy()
    expected = [
        person_of(w, items[0]), person_of(w, items[1, :2]), person_of(w, items[2, :0]),
    ]  # fmt: skip
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(found[:, -2:], 0)


@pytest.mark.parametrize("padded_to", [2, 3, 5])
def test_padding_changes_nobody(padded_to: int) -> None:
    """A history may be as long as it is: the graph takes any length up to `history_items`."""
    tower, w = randomised(build_user_tower(CONFIG), 2)
    random = np.random.default_rng(4)
    items = random.normal(size=(2, padded_to, 8)).astype("f")
    mask = np.zeros((2, padded_to), np.float32)
    mask[:, :2] = 1
    found = tower({"items": items, "mask": mask}).numpy()
    np.testing.assert_allclose(found, [person_of(w, row[:2]) for row in items], atol=1e-5)


def test_nobody_gets_the_learned_prior_whatever_lies_behind_the_mask() -> None:
    tower, w = randomised(build_user_tower(CONFIG), 4)
    nothing = np.zeros((2, 5), np.float32)
    items = np.random.default_rng(5).normal(size=(2, 5, 8)).astype("f")
    found = tower({"items": items, "mask": nothing}).numpy()
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[0], person_of(w, np.empty((0, 8))), atol=1e-6)


def test_a_tower_without_a_prior_still_gives_numbers() -> None:
    found = build_user_tower(CONFIG)(
        {"items": np.zeros((1, 5, 8), np.float32), "mask": np.zeros((1, 5), np.float32)}
    ).numpy()
    assert np.isfinite(found).all()


def test_weights_of_another_shape_are_refused() -> None:
    head = build_item_head(CONFIG, NO_GRAMS)
    weights = read_weights(head)
    with pytest.raises(ValueError, match="missing"):
        write_weights(head, {name: weights[name] for name in list(weights)[1:]})
    with pytest.raises(ValueError, match="expected"):
        write_weights(head, {**weights, "project/bias": np.zeros(3, np.float32)})


@pytest.mark.parametrize(
    "wrong", [{"dim": 2}, {"history_items": 0}, {"hidden_units": 10**6}, {"wide_grams": -1}]
)
def test_a_shape_out_of_range_quotes_the_range(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must be from .* got"):
        TowerConfig(**wrong)
