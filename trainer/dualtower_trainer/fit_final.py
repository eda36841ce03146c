"""The last fit, on all of the log, and the scales that are set after it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dualtower_trainer.closed_form.choose import trend_of
from dualtower_trainer.cold_calibration import cold_scale
from dualtower_trainer.data import Split
from dualtower_trainer.fit_towers import fit_towers
from dualtower_trainer.heads.labels import SplitLabels
from dualtower_trainer.initialise import rescale_parts, rescale_text, shrink_towers
from dualtower_trainer.item_texts import ItemTexts
from dualtower_trainer.learner import Learner
from dualtower_trainer.learner_setup import closed_form_of, make_learner, make_sampler
from dualtower_trainer.run_config import RunConfig
from dualtower_trainer.select_recipe import Selection
from dualtower_trainer.towers import fit_into_ball

__all__ = ["Fitted", "fit_final"]


@dataclass(frozen=True, eq=False)
class Fitted:
    """The towers as they are saved.

    Attributes:
        learner: holds both towers.
        vectors: float32 [items, dim], the index.
        facts: for training.json.
    """

    learner: Learner
    vectors: np.ndarray
    facts: dict[str, Any]


def fit_final(
    parts: Split,
    texts: ItemTexts,
    config: RunConfig,
    selection: Selection,
    run: Path,
    labels: SplitLabels | None = None,
) -> Fitted:
    """Fits with the chosen settings.

    Args:
        parts: the split of a refit, whose training log is all that may be trained on.
        texts: of the catalogue.
        config: the run's.
        selection: what the inner split chose.
        run: where the checkpoint goes.
        labels: of `parts`, where heads need any.
    """
    learner = make_learner(parts, texts, config, labels)
    trend = np.ones(len(parts.catalogue), np.float32)
    if config.train.initial == "closed_form":
        form = closed_form_of(parts, texts, config, selection.choice)
        learner.start_from(form, prior=selection.choice.prior)
        trend = trend_of(parts, config.closed_form, selection.choice)
    else:
        learner.start_at_random(parts.warm)
    facts: dict[str, Any] = {"final_losses": [], "final_wall_s": 0.0}
    if selection.steps:
        training = fit_towers(
            learner,
            make_sampler(parts, config, labels),
            run / "state.safetensors",
            steps=selection.steps,
            title="train",
            look=None,
        )
        facts = {"final_losses": training["losses"], "final_wall_s": training["wall_s"]}
    scale = cold_scale(learner, parts, trend, config, share=selection.cold_scale)
    vectors = _finish(learner, parts.warm, trend, scale)
    return Fitted(learner, vectors, {**facts, "cold_scale": scale})


def _finish(learner: Learner, warm: np.ndarray, trend: np.ndarray, scale: float) -> np.ndarray:
    """Trend on what training saw, the scale on what it did not, and everything into the ball."""
    parts = learner.parts()
    seen = np.where(warm, trend, 1.0)
    if learner.known.any():
        rescale_text(learner.item_head, scale)
        seen = np.where(learner.known, seen, scale)
    parts = rescale_parts(parts, seen)
    parts = shrink_towers(learner.item_head, learner.user_tower, parts)
    return fit_into_ball(parts)
