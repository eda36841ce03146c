"""Heads in training: what a step minimises, what it moves, and what is learned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dualtower_trainer.closed_form.choose import Choice
from dualtower_trainer.data import Dataset, split
from dualtower_trainer.heads import RatingBiases, rating_rmse, split_labels
from dualtower_trainer.heads.judge import HeadJudge
from dualtower_trainer.heads_config import HeadsConfig
from dualtower_trainer.item_texts import ItemTexts
from dualtower_trainer.learner import Learner
from dualtower_trainer.learner_setup import closed_form_of, make_learner, make_sampler
from dualtower_trainer.run_config import RunConfig
from dualtower_trainer.sampling import BatchSampler
from dualtower_trainer.towers import fit_into_ball

OFF = HeadsConfig()
BOTH = HeadsConfig(events=True, ratings=True, event_weight=0.5, rating_weight=0.25)


class Started:
    """A learner at its closed form, with what it was made from."""

    def __init__(
        self, dataset: Dataset, texts: ItemTexts, config: RunConfig, heads: HeadsConfig
    ) -> None:
        config = replace(config, heads=heads)
        self.parts = split(dataset, config.split)
        self.labels = split_labels(dataset, self.parts, heads)
        self.learner: Learner = make_learner(self.parts, texts, config, self.labels)
        self.sampler: BatchSampler = make_sampler(self.parts, config, self.labels)
        form = closed_form_of(self.parts, texts, config, Choice(30.0, 0.0, 0.0))
        self.learner.start_from(form, prior=0.01)

    def take(self, steps: int) -> list[float]:
        return [
            self.learner.step(self.sampler.batch(seed=0, step=step), step) for step in range(steps)
        ]


def test_a_step_adds_the_weighted_losses_of_the_heads(planted, texts, small_config) -> None:
    """Untrained heads foresee the mean and the shares, so that both losses are known."""
    plain = Started(planted, texts, small_config, OFF)
    joint = Started(planted, texts, small_config, BOTH)
    batch = joint.sampler.batch(seed=0, step=0)
    train = joint.labels.train
    standard = (batch.ratings - np.nanmean(train.ratings)) / np.nanstd(train.ratings)
    shares = np.bincount(train.events[train.events >= 0]) / (train.events >= 0).sum()
    events = -np.log(shares[batch.events[batch.events >= 0]]).mean()
    expected = plain.take(1)[0] + 0.25 * np.nanmean(standard**2) + 0.5 * events
    assert joint.take(1)[0] == pytest.approx(expected, rel=1e-4)


def test_a_batch_without_labels_takes_the_step_of_a_training_without_heads(
    planted, texts, small_config
) -> None:
    plain = Started(planted, texts, small_config, OFF)
    joint = Started(planted, texts, small_config, BOTH)
    for step in range(3):
        batch = plain.sampler.batch(seed=0, step=step)
        assert joint.learner.step(batch, step) == plain.learner.step(batch, step)
    # of a graph with further branches, some CPUs round the last bit differently
    np.testing.assert_allclose(joint.learner.parts(), plain.learner.parts(), rtol=1e-6, atol=1e-7)


def test_the_gradient_of_the_heads_reaches_both_towers(planted, texts, small_config) -> None:
    config = replace(small_config, train=replace(small_config.train, id_dropout=0.5))
    plain = Started(planted, texts, config, OFF)
    joint = Started(planted, texts, config, BOTH)
    plain.take(8)
    joint.take(8)
    assert len(joint.learner.weights()) == len(plain.learner.weights()) + 8
    for read in (
        lambda learner: learner.user_tower.get_layer("turn").kernel.numpy(),
        lambda learner: learner.parts(),
        lambda learner: learner.text_parts(),
    ):
        assert np.abs(read(joint.learner) - read(plain.learner)).max() > 1e-5


def test_what_the_tastes_decide_is_learned(planted, texts, small_config) -> None:
    started = Started(planted, texts, small_config, BOTH)
    judge = HeadJudge(started.parts, started.labels, started.learner, limit=100)
    usual, before = judge.baselines(), judge.look()
    assert before["validation_rating_rmse"] == pytest.approx(
        usual["ratings"]["mean_rmse"], rel=1e-5
    )
    assert before["validation_event_accuracy"] == usual["events"]["majority_accuracy"]
    assert before["validation_event_log_loss"] == pytest.approx(
        usual["events"]["shares_log_loss"], rel=1e-5
    )
    losses = started.take(150)
    assert np.isfinite(losses).all()
    after = judge.look()
    assert after["validation_rating_rmse"] < 0.8 * usual["ratings"]["biases_rmse"]
    assert after["validation_event_accuracy"] > usual["events"]["majority_accuracy"] + 0.1
    assert after["validation_event_log_loss"] < 0.8 * usual["events"]["shares_log_loss"]


def test_the_judge_asks_each_person_for_the_own_target(planted, texts, small_config) -> None:
    """Against one person and one item at a time."""
    started = Started(planted, texts, small_config, HeadsConfig(ratings=True))
    started.take(3)
    learner, held = started.learner, started.parts.validation
    vectors = fit_into_ball(learner.parts())
    foreseen, asked, people = [], [], []
    for person, (targets, history) in enumerate(
        zip(held.warm_targets, held.histories, strict=True)
    ):
        for item in targets.tolist():
            place = np.flatnonzero((started.labels.people == person)
                                   & (started.labels.items == item))[0]  # fmt: skip
            rating = started.labels.validation.ratings[place]
            if np.isnan(rating):
                continue
            read = vectors[history[:16]][None]
            one = learner.user_tower({"items": read, "mask": np.ones(read.shape[:2], np.float32)})
            foreseen.append(learner.heads.ratings(one.numpy(), vectors[[item]])[0])
            asked.append(rating)
            people.append((held.users[person], item))
    judge = HeadJudge(started.parts, started.labels, learner, limit=10_000)
    expected = rating_rmse(foreseen, np.array(asked))
    assert judge.look()["validation_rating_rmse"] == pytest.approx(expected, rel=1e-5)
    log, ratings = started.parts.train, started.labels.train.ratings
    known = ~np.isnan(ratings)
    biases = RatingBiases.fit(
        log.users[known], log.items[known], ratings[known], n_users=120, n_items=90
    )
    users, items = np.array(people).T
    usual = judge.baselines()["ratings"]
    assert usual["pairs"] == len(asked)
    assert usual["biases_rmse"] == pytest.approx(
        rating_rmse(biases.predict(users, items), np.array(asked))
    )


def test_nobody_to_ask_gives_no_numbers(planted, texts, small_config) -> None:
    started = Started(planted, texts, small_config, BOTH)
    empty = started.labels.validation.none(len(started.labels.items))
    judge = HeadJudge(
        started.parts, replace(started.labels, validation=empty), started.learner, limit=10
    )
    assert judge.look() == {}
    assert judge.baselines() == {}


def test_parameters_count_the_heads(planted, texts, small_config) -> None:
    plain = Started(planted, texts, small_config, OFF).learner.parameters()
    joint = Started(planted, texts, small_config, BOTH).learner.parameters()
    hidden = 66 * 32 + 32
    more = 2 * hidden + (32 * 3 + 3) + (32 + 1)
    assert joint["trainable"] == plain["trainable"] + more
    assert joint["total"] == plain["total"] + more


def test_heads_without_labels_are_refused(planted, texts, small_config) -> None:
    config = replace(small_config, heads=BOTH)
    with pytest.raises(ValueError, match="need the labels"):
        make_learner(split(planted), texts, config)
