"""Towers that were filled from the closed form rank as it does, and scales move what they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import dualtower_trainer  # noqa: F401  before TensorFlow
from dualtower_trainer.checkpoint import embed_histories
from dualtower_trainer.closed_form import ClosedForm, TextFeatures
from dualtower_trainer.closed_form.fit import fit_closed_form
from dualtower_trainer.initialise import rescale_parts, rescale_text, shrink_towers
from dualtower_trainer.learner import Learner
from dualtower_trainer.loss_config import LossConfig
from dualtower_trainer.sampling import BatchSampler
from dualtower_trainer.tower_config import TowerConfig
from dualtower_trainer.towers import WEIGHT_SCALE, fit_into_ball
from dualtower_trainer.train_config import TrainConfig
from dualtower_trainer.wide import build_wide_vocabulary

USERS, ITEMS, TAKEN, DIM = 60, 40, 30, 12  # items 30 … 39 were never taken
VOCABULARY = 20


class World:
    """A log, its texts as ids, and their features."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        tastes, kinds = random.normal(size=(USERS, 3)), random.normal(size=(ITEMS, 3))
        wanted = tastes @ kinds.T + random.normal(size=(USERS, ITEMS))
        wanted[:, TAKEN:] = -np.inf
        self.logs = [np.argsort(-row)[:7].astype(np.int32) for row in wanted]
        rows = np.repeat(np.arange(USERS), 7)
        ones = np.ones(len(rows), np.float32)
        self.taken = sparse.csr_matrix(
            (ones, (rows, np.concatenate(self.logs))), shape=(USERS, ITEMS)
        )
        self.ids = random.integers(3, VOCABULARY, (ITEMS, 6)).astype(np.int32)
        self.mask = np.ones_like(self.ids)
        self.encodings = random.normal(size=(ITEMS, 8)).astype(np.float32)
        self.mean = self.encodings[:TAKEN].mean(axis=0)
        self.vocabulary = build_wide_vocabulary(
            self.ids, self.mask, special_ids=(0, 1, 2), max_grams=500
        )
        bag = self.vocabulary.bag(self.ids, self.mask)
        self.features = TextFeatures.of(bag, self.encodings, self.mean, 0.5)

    def form(self, sharpening: float = 0.5) -> ClosedForm:
        return fit_closed_form(
            self.taken, self.features, rank=DIM - 2, regularisation=5.0, sharpening=sharpening,
            text_pull=0.1, ridge=1.0, max_items=TAKEN,
        )  # fmt: skip

    def learner(self, *, id_residual: bool = True, **train: float) -> Learner:
        config = TowerConfig(dim=DIM, history_items=6, hidden_units=8, id_residual=id_residual)
        return Learner(
            config, TrainConfig(**train), LossConfig(), features=self.features,
            encoder_mean=self.mean, vocabulary=self.vocabulary, vocabulary_size=VOCABULARY,
            popularity=np.asarray(self.taken.sum(axis=0)).ravel(),
        )  # fmt: skip

    def by_text(self, learner: Learner, items: np.ndarray) -> np.ndarray:
        """What the item head itself gives for texts alone."""
        nothing = np.zeros((len(items), DIM - 1), np.float32)
        inputs = {
            "pooled": self.encodings[items], "ids": self.ids[items], "mask": self.mask[items],
            "id_vector": nothing,
        }  # fmt: skip
        return np.asarray(learner.item_head(inputs).numpy())


HISTORIES = [[4], [1, 2, 3], [29, 0, 7, 8, 5], [35], [35, 2], [1, 2, 3, 4, 5, 6], []]


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def formula(form: ClosedForm, prior: float, own: bool) -> np.ndarray:
    """Σ over the history of the items' values / √(1 + n), and the crowd as one item alone."""
    parts = form.parts(id_residual=own).astype(np.float64)
    scores = []
    for history in HISTORIES:
        person = prior * form.crowd.astype(np.float64) / np.sqrt(2)
        for item in history:
            value = np.exp(parts[item, -1]) * parts[item, :-1] * form.turn
            person = person + value / np.sqrt(1 + len(history))
        scores.append(parts[:, :-1] @ person)
    return np.array(scores)


def scores_of(learner: Learner, parts: np.ndarray) -> np.ndarray:
    vectors = fit_into_ball(parts)
    histories = [np.array(history, np.int64) for history in HISTORIES]
    return embed_histories(learner.user_tower, vectors, histories, learner.config) @ vectors.T


def assert_alike(found: np.ndarray, expected: np.ndarray, tolerance: float = 2e-4) -> None:
    """Equal up to a positive factor a row."""
    for row, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        factor = (ours @ theirs) / (theirs @ theirs)
        assert factor > 0, row
        np.testing.assert_allclose(ours, factor * theirs, atol=tolerance * np.abs(ours).max())


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("prior", [0.01, 0.3])
def test_towers_rank_as_the_closed_form(world: World, own: bool, prior: float) -> None:
    form = world.form(0.5 if own else 0.0)
    learner = world.learner(id_residual=own)
    learner.start_from(form, prior=prior)
    assert_alike(scores_of(learner, learner.parts()), formula(form, prior, own))
    assert learner.known.tolist() == [own and item < TAKEN for item in range(ITEMS)]


def test_the_head_places_unseen_items_where_the_learner_says(world: World) -> None:
    learner = world.learner()
    learner.start_from(world.form(), prior=0.1)
    found = world.by_text(learner, np.arange(ITEMS))
    np.testing.assert_allclose(found, fit_into_ball(learner.text_parts()), atol=1e-5)
    np.testing.assert_allclose(learner.parts()[TAKEN:], learner.text_parts()[TAKEN:], atol=1e-6)


def test_rescaled_parts_are_recommended_more_and_say_no_more(world: World) -> None:
    learner = world.learner()
    learner.start_from(world.form(), prior=0.1)
    parts = learner.parts() * 0.5  # so that nothing reaches the border of the ball
    parts[:, -1] *= 2
    scale = np.random.default_rng(1).uniform(0.5, 2.0, ITEMS).astype(np.float32)
    changed = rescale_parts(parts, scale)
    np.testing.assert_allclose(changed[:, :-1], parts[:, :-1] * scale[:, None], rtol=1e-6)
    said, says = (
        table[:, :-1] * np.exp(table[:, -1:].astype(np.float64) / WEIGHT_SCALE)
        for table in (parts, changed)
    )
    np.testing.assert_allclose(says, said, rtol=1e-4)
    assert_alike(scores_of(learner, changed), scores_of(learner, parts) * scale)


def test_rescaled_texts_are_rescaled_parts_of_texts(world: World) -> None:
    learner = world.learner()
    learner.start_from(world.form(), prior=0.1)
    before = learner.text_parts()
    rescale_text(learner.item_head, 1.7)
    expected = rescale_parts(before, np.full(ITEMS, 1.7, np.float32))
    np.testing.assert_allclose(learner.text_parts(), expected, atol=1e-5)
    found = world.by_text(learner, np.arange(ITEMS))
    np.testing.assert_allclose(found, fit_into_ball(expected), atol=1e-5)


@pytest.mark.parametrize("size", [0.01, 1.0, 40.0])
def test_shrunk_towers_rank_as_before_and_fit(world: World, size: float) -> None:
    form = world.form()
    learner = world.learner()
    learner.start_from(form, prior=0.1)
    parts = rescale_parts(learner.parts(), np.full(ITEMS, 1.0, np.float32))
    parts[:, :-1] *= size
    # a prior has the size of the tastes
    turn = learner.user_tower.get_layer("turn")
    kernel, prior = turn.get_weights()
    turn.set_weights([kernel, prior * size])
    shrunk = shrink_towers(learner.item_head, learner.user_tower, parts)
    assert np.linalg.norm(shrunk, axis=1).max() == pytest.approx(0.9, abs=0.02)
    np.testing.assert_array_equal(shrunk[:, -1], parts[:, -1])
    assert_alike(scores_of(learner, shrunk), formula(form, 0.1, True))


def test_steps_on_texts_alone_move_no_known_item(world: World) -> None:
    learner = world.learner(id_dropout=1.0, user_rate=0.0, own_rate=0.0, learning_rate=0.01,
                            weight_decay=0.0, warmup_steps=0)  # fmt: skip
    learner.start_from(world.form(), prior=0.1)
    before, texts = learner.parts(), learner.text_parts()
    sampler = BatchSampler(
        world.logs, ITEMS, history_items=6, users_per_step=16, targets_per_user=2,
        uniform_negatives=8,
    )  # fmt: skip
    for step in range(3):
        learner.step(sampler.batch(seed=0, step=step), step)
    np.testing.assert_array_equal(learner.parts()[:TAKEN], before[:TAKEN])
    assert np.abs(learner.parts()[TAKEN:] - before[TAKEN:]).max() > 1e-4
    assert np.abs(learner.text_parts() - texts).max() > 1e-4
    assert not learner.item_head.get_layer("wide").table.numpy()[0].any(), "row 0 stays zero"


def test_a_random_start_gives_every_item_a_place(world: World) -> None:
    learner = world.learner()
    learner.start_at_random(np.arange(ITEMS) < TAKEN)
    vectors = fit_into_ball(learner.parts())
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    people = embed_histories(
        learner.user_tower, vectors, [np.array([], np.int64), np.array([3])], learner.config
    )
    assert np.isfinite(people).all()
