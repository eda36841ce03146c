"""Inverse propensities: what training tells of rare items, on a log that popularity has biased."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from dualtower_trainer.data import Dataset, split
from dualtower_trainer.item_texts import ItemTexts
from dualtower_trainer.learner_setup import make_learner, make_sampler
from dualtower_trainer.loss_config import LossConfig
from dualtower_trainer.run_config import RunConfig
from dualtower_trainer.towers import fit_into_ball

STEPS = 150


@pytest.mark.slow
def test_the_tail_is_found_more_often(
    crowded_by_the_popular: Dataset,
    numbered_texts: Callable[..., ItemTexts],
    small_config: RunConfig,
) -> None:
    """All items of a kind are liked alike, and 6 of 30 get two thirds of what is taken."""
    tail = {power: tail_recall(crowded_by_the_popular, numbered_texts(90), small_config, power)
            for power in (0.0, 1.0)}  # fmt: skip
    assert tail[1.0] > tail[0.0] + 0.05, tail


def tail_recall(dataset: Dataset, texts: ItemTexts, config: RunConfig, power: float) -> float:
    """Recall@10 of the items of a person's kind that are new to him, the 6 popular ones left out.

    This is what he likes, without the bias of what he was shown.
    """
    loss = LossConfig(kind="sampled_softmax", temperature=0.2, ipw_power=power)
    config = replace(config, loss=loss, train=replace(config.train, initial="random"))
    parts = split(dataset, config.split, refit=True)
    learner, sampler = make_learner(parts, texts, config), make_sampler(parts, config)
    learner.start_at_random(parts.warm)
    for step in range(STEPS):
        learner.step(sampler.batch(seed=0, step=step), step)
    vectors = fit_into_ball(learner.parts())
    log, found = parts.train, []
    for user in range(120):
        history = log.items[log.users == user]
        read = vectors[history[:16]][None]
        person = learner.user_tower({"items": read, "mask": np.ones((1, read.shape[1]), "f")})
        scores = vectors @ person.numpy()[0]
        scores[history] = -np.inf
        rare = np.setdiff1d(np.arange(30 * (user % 3) + 6, 30 * (user % 3) + 30), history)
        found.append(np.isin(np.argsort(-scores)[:10], rare).mean())
    return float(np.mean(found))
