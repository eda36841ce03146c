"""The inner split: what is chosen before everything is fitted once more on the whole log.

inner training log ─► closed form (grids) ─► contrastive training ─► whichever foresees better
                               └────── both judged on the validation period ──────┘
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dualtower.errors import DataError
from dualtower.progress import say
from dualtower_trainer.checkpoint import embed_histories
from dualtower_trainer.closed_form.choose import Choice, choose_closed_form, is_gain, trend_of
from dualtower_trainer.closed_form.fit import ClosedForm
from dualtower_trainer.cold_calibration import cold_scale
from dualtower_trainer.data import Dataset, Interactions, Split, split
from dualtower_trainer.fit_towers import fit_towers
from dualtower_trainer.heads.judge import HeadJudge
from dualtower_trainer.heads.labels import SplitLabels
from dualtower_trainer.item_texts import ItemTexts
from dualtower_trainer.learner import Learner
from dualtower_trainer.learner_setup import make_learner, make_sampler
from dualtower_trainer.run_config import RunConfig
from dualtower_trainer.towers import fit_into_ball
from dualtower_trainer.validation import Look, Validation

__all__ = ["Selection", "inner_split", "select_recipe"]

_FEWEST_USERS = 300
_FEWEST_OF_ALL = 0.15
_INNER_SALT = "inner-v1"


@dataclass(frozen=True)
class Selection:
    """What validation chose.

    Attributes:
        choice: settings of the closed form.
        steps: of contrastive training; 0 keeps the closed form.
        cold_scale: of unseen items, from the items that the inner split hid.
        facts: for training.json.
    """

    choice: Choice
    steps: int
    cold_scale: float
    facts: dict[str, Any]


def inner_split(dataset: Dataset, config: RunConfig) -> tuple[Split, Interactions | None]:
    """The split that choices are made on, of the kind in which the result will be used.

    Where the configuration holds no unseen items out, some are hidden here, so that their placing
    can be judged. Where most people are there for one short time (films rated in an evening), a cut
    in time leaves few of them, who are not like the others: the choice is then made by the last
    item of each person, and without a trend, which that cannot judge.

    Returns:
        the split, and its training log with the items that were hidden here still in it; None
        where the configuration itself holds items out, which nothing here may look at.
    """
    asked = config.split
    hides = not asked.cold_share and config.train.fresh_share > 0
    if hides:
        asked = replace(asked, cold_share=config.train.fresh_share, cold_salt=_INNER_SALT)
    parts = split(dataset, asked, activity=config.filter)
    if parts.kind == "time" and asked.kind == "auto" and not asked.has_test:
        present = len(set(parts.full.users.tolist()))
        if len(parts.validation) < max(_FEWEST_USERS, _FEWEST_OF_ALL * present):
            say("  few people come back after the cut in time: choosing by the last item of each")
            asked = replace(asked, kind="last", validation_days=0.0, validation_start=None)
            parts = split(dataset, asked, activity=config.filter)
    if not hides:
        return parts, None
    open_config = replace(parts.config, cold_share=0.0)
    return parts, split(dataset, open_config, activity=config.filter).train


def select_recipe(
    parts: Split,
    with_hidden: Interactions | None,
    texts: ItemTexts,
    config: RunConfig,
    run: Path,
    labels: SplitLabels | None = None,
) -> Selection:
    """Chooses on an inner split, as `inner_split` gives it; `labels` are its, where heads need any.

    Raises:
        DataError: nobody can be asked.
    """
    validation = Validation(parts, limit=config.train.validation_users, with_cold=with_hidden)
    if not validation.asked:
        raise DataError(
            "no user of the validation period can be ranked; choose a longer one, e.g. "
            f"--set split.validation_share={min(0.5, 2 * config.split.validation_share):g}"
        )
    learner = make_learner(parts, texts, config, labels)
    tried: list[dict[str, Any]] = []
    choice, trend = Choice(0.0, 0.0, 0.0), np.ones(len(parts.catalogue), np.float32)
    if config.train.initial == "closed_form":
        form, choice, tried = _closed_form(parts, validation, texts, config)
        learner.start_from(form, prior=choice.prior)
        trend = trend_of(parts, config.closed_form, choice)
    else:
        learner.start_at_random(parts.warm)
    look = _look(learner, validation, trend)
    judge = None
    if labels is not None:
        judge = HeadJudge(parts, labels, learner, limit=config.train.validation_users)
    facts: dict[str, Any] = {"closed_form": vars(choice), "tried": tried}
    start, untrained, steps = look(), learner.weights(), 0
    if config.train.steps:
        training = fit_towers(
            learner,
            make_sampler(parts, config, labels),
            run / "select.safetensors",
            steps=config.train.steps,
            title="choose",
            look=look,
            heads=judge.look if judge is not None else None,
        )
        facts |= training
        steps = _steps_worth(training, start, look(), config)
        if not steps:
            learner.set_weights(untrained)
    else:
        facts |= {"history": [_closed_entry(start, learner)], "losses": [], "wall_s": 0.0,
                  "stopped": "no steps asked for", "best_step": 0}  # fmt: skip
    kept = look()
    facts["kept"] = "contrastive" if steps else "closed form"
    facts["start"] = start.numbers()
    facts["chosen"] = kept.numbers()
    if judge is not None:
        facts["chosen"] |= judge.look()
        facts["heads"] = judge.baselines()
    say(f"  kept on the inner split: {facts['kept']}")
    return Selection(choice, steps, cold_scale(learner, parts, trend, config, share=None), facts)


def _closed_form(
    parts: Split,
    validation: Validation,
    texts: ItemTexts,
    config: RunConfig,
) -> tuple[ClosedForm, Choice, list[dict[str, Any]]]:
    try:
        return choose_closed_form(
            parts,
            validation,
            texts.features(
                texts.mean(parts.warm),
                config.closed_form.encoder_share,
                config.closed_form.features_share,
            ),
            config.closed_form,
            rank=config.model.dim - 2,
            history_items=config.model.history_items,
            id_residual=config.model.id_residual,
            trend=config.model.trend and parts.kind == "time",
            tell=say,
        )
    except ValueError as error:
        raise DataError(f"nothing to train on: {error}; see `dualtower data describe`") from error


def _look(learner: Learner, validation: Validation, trend: np.ndarray) -> Callable[[], Look]:
    def look() -> Look:
        own = learner.parts()
        vectors = fit_into_ball(own)
        tastes = (own[:, :-1] * trend[:, None]).T
        people = embed_histories(learner.user_tower, vectors, validation.histories, learner.config)[
            :, :-2
        ]
        return validation.look(lambda places: people[places] @ tastes)

    return look


def _steps_worth(training: dict[str, Any], start: Look, best: Look, config: RunConfig) -> int:
    """How many steps the last fit takes: those of the best look, if it beats the closed form."""
    if not training["best_step"]:
        return 0
    if config.train.initial == "closed_form" and not is_gain(best.both - start.both, errors=0.0):
        return 0
    return int(training["best_step"])


def _closed_entry(look: Look, learner: Learner) -> dict[str, Any]:
    return {"step": 0, "loss": None, "value": look.value, **look.numbers(),
            "temperature": learner.temperature, "learning_rate": 0.0}  # fmt: skip
