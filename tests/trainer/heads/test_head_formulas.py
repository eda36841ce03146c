"""The heads against plain numpy in float64: what they foresee, what it costs, and its slopes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from dualtower_trainer.heads import Labels
from dualtower_trainer.heads.formulas import event_loss, rating_loss
from dualtower_trainer.heads.heads import Heads, HeadScale
from dualtower_trainer.heads_config import HeadsConfig

TASTE, PAIRS, NAMES = 5, 7, ("buy", "save", "view")
SCALE = HeadScale(NAMES, (0.5, 0.2, 0.3), 3.5, 1.25)
EVENTS = np.array([0, 2, -1, 1, 1, -1, 0], np.int32)
RATINGS = np.array([5, np.nan, 1, 2.5, np.nan, 4, 3], np.float32)
erf = np.vectorize(math.erf)


def heads(**options) -> Heads:
    """Both heads, with weights of which none is zero."""
    config = HeadsConfig(
        events=True, ratings=True, event_weight=0.7, rating_weight=0.4, hidden_units=4, **options
    )
    made, random = Heads(config, TASTE, SCALE), np.random.default_rng(1)
    made.assign(
        {name: random.normal(0, 0.4, value.shape) for name, value in made.tensors().items()}
    )
    return made


def embeddings(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return tuple(random.normal(0, 0.4, (PAIRS, TASTE + 2)).astype(np.float32) for _ in range(2))


def outputs(tensors: dict[str, np.ndarray], name: str, people, items) -> np.ndarray:
    """W₂ gelu(W₁ x + b₁) + b₂, float64 [pairs, outputs]."""
    person, item = (np.asarray(side, np.float64)[:, :TASTE] for side in (people, items))
    person, item = (
        math.sqrt(TASTE) * side / np.linalg.norm(side, axis=1, keepdims=True)
        for side in (person, item)
    )
    read = np.concatenate([person, item, person * item], axis=1)
    get = {key: np.asarray(value, np.float64) for key, value in tensors.items()}
    hidden = read @ get[f"{name}/hidden/kernel"] + get[f"{name}/hidden/bias"]
    hidden = hidden * (1 + erf(hidden / math.sqrt(2))) / 2
    return hidden @ get[f"{name}/out/kernel"] + get[f"{name}/out/bias"]


def joint(tensors: dict[str, np.ndarray], people, items) -> float:
    """0.7 · cross-entropy + 0.4 · squared error, over the pairs that have the label."""
    logits = outputs(tensors, "events", people, items)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    known = EVENTS >= 0
    events = -logs[known, EVENTS[known]].mean()
    foreseen = outputs(tensors, "ratings", people, items)[:, 0]
    rated = ~np.isnan(RATINGS)
    wanted = (RATINGS[rated].astype(np.float64) - 3.5) / 1.25
    return float(0.7 * events + 0.4 * ((foreseen[rated] - wanted) ** 2).mean())


def test_what_is_foreseen_is_the_formula() -> None:
    made, (people, items) = heads(), embeddings()
    logits = outputs(made.tensors(), "events", people, items)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(made.events(people, items), chances, rtol=1e-5)
    stars = 3.5 + 1.25 * outputs(made.tensors(), "ratings", people, items)[:, 0]
    np.testing.assert_allclose(made.ratings(people, items), stars, rtol=1e-5)


def test_the_joint_loss_is_the_formula() -> None:
    made, (people, items) = heads(), embeddings()
    found = float(made.loss(people, items, EVENTS, RATINGS))
    assert found == pytest.approx(joint(made.tensors(), people, items), rel=1e-5)


def test_slopes_are_those_of_the_formula() -> None:
    """Central differences of the float64 formula: by both embeddings and every weight."""
    made, points = heads(), [tf.constant(side) for side in embeddings()]
    with tf.GradientTape() as tape:
        tape.watch(points)
        loss = made.loss(*points, EVENTS, RATINGS)
    slopes = [
        slope.numpy() for part in tape.gradient(loss, [points, made.variables]) for slope in part
    ]
    arrays = {"people": points[0].numpy(), "items": points[1].numpy(), **made.tensors()}
    arrays = {name: array.astype(np.float64) for name, array in arrays.items()}
    for (name, array), slope in zip(arrays.items(), slopes, strict=True):
        for place in np.ndindex(*array.shape):
            ends = []
            for move in (1e-5, -1e-5):
                moved = {**arrays, name: array.copy()}
                moved[name][place] += move
                ends.append(joint(moved, moved["people"], moved["items"]))
            expected = (ends[0] - ends[1]) / 2e-5
            assert slope[place] == pytest.approx(expected, rel=1e-3, abs=2e-6), (name, place)
    for side in slopes[:2]:
        assert (side[:, TASTE:] == 0).all(), "weight and rest are not read"
        assert (side[:, :TASTE] != 0).any(axis=1).sum() == PAIRS, "each has one label at least"


def test_pairs_without_a_label_count_as_if_they_were_not_there() -> None:
    random = np.random.default_rng(2)
    logits = random.normal(size=(PAIRS, 3)).astype(np.float32)
    foreseen = random.normal(size=PAIRS).astype(np.float32)
    known, rated = EVENTS >= 0, ~np.isnan(RATINGS)
    assert float(event_loss(logits, EVENTS)) == pytest.approx(
        float(event_loss(logits[known], EVENTS[known])), rel=1e-6
    )
    assert float(rating_loss(foreseen, RATINGS)) == pytest.approx(
        float(rating_loss(foreseen[rated], RATINGS[rated])), rel=1e-6
    )


@pytest.mark.parametrize("pairs", [0, PAIRS])
def test_a_batch_without_any_label_costs_nothing_and_moves_nothing(pairs: int) -> None:
    made = heads()
    points = [tf.constant(side[:pairs]) for side in embeddings()]
    none = Labels.none(pairs)
    with tf.GradientTape() as tape:
        tape.watch(points)
        loss = made.loss(*points, none.events, none.ratings)
    assert float(loss) == 0
    for part in tape.gradient(loss, [points, made.variables]):
        for slope in part:
            assert (slope.numpy() == 0).all()


def test_a_head_that_has_learned_nothing_foresees_what_is_usual_and_moves_no_tower() -> None:
    made = Heads(HeadsConfig(events=True, ratings=True), TASTE, SCALE)
    people, items = embeddings()
    np.testing.assert_allclose(made.events(people, items), [SCALE.event_shares] * PAIRS, rtol=1e-5)
    np.testing.assert_allclose(made.ratings(people, items), SCALE.rating_mean, rtol=1e-6)
    points = [tf.constant(people), tf.constant(items)]
    with tf.GradientTape() as tape:
        tape.watch(points)
        loss = made.loss(*points, EVENTS, RATINGS)
    for slope in tape.gradient(loss, points):
        assert (slope.numpy() == 0).all()


def test_only_directions_count_and_a_taste_of_zeros_is_none() -> None:
    made, (people, items) = heads(), embeddings()
    longer = items * np.array([*[3.0] * TASTE, -7.0, 0.1], np.float32)
    np.testing.assert_allclose(made.ratings(people, items), made.ratings(people, longer), rtol=1e-5)
    items[0] = 0
    assert np.isfinite(made.events(people, items)).all()


def test_the_scale_is_that_of_the_known_labels() -> None:
    scale = HeadScale.of(Labels(RATINGS, EVENTS), (*NAMES, "never"))
    assert scale.rating_mean == pytest.approx(np.nanmean(RATINGS))
    assert scale.rating_spread == pytest.approx(np.nanstd(RATINGS))
    assert scale.event_shares == pytest.approx((2 / 5.5, 2 / 5.5, 1 / 5.5, 0.5 / 5.5))
    assert HeadScale.of(Labels.none(3), ()) == HeadScale((), (), 0.0, 1.0)


def test_facts_and_tensors_make_the_same_heads_again() -> None:
    import json

    made, (people, items) = heads(), embeddings()
    again = Heads.of(json.loads(json.dumps(made.facts())), TASTE, made.tensors())
    assert again.config == made.config
    assert again.scale == made.scale
    np.testing.assert_array_equal(again.events(people, items), made.events(people, items))
    np.testing.assert_array_equal(again.ratings(people, items), made.ratings(people, items))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"event_weight": 0.0}, "event_weight must be above 0, got 0.0; events=false"),
        ({"rating_weight": -1.0}, "rating_weight must be above 0"),
        ({"rate": 0.0}, "rate must be above 0"),
        ({"hidden_units": 0}, "hidden_units must be at least 1, got 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(options: dict, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        HeadsConfig(**options)
