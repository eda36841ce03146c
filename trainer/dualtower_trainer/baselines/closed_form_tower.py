"""The closed form of the two towers as a method of its own: what training starts from, untrained.

Texts enter as TF-IDF of words beside the content vectors, where the towers read word pieces, and
vectors of another modality as in the towers. The settings are chosen on the grids of section
[closed_form], as training chooses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dualtower.progress import say
from dualtower_trainer.baselines.training_set import Scorer, TrainingSet, history_matrix
from dualtower_trainer.baselines.tuning import Tuning
from dualtower_trainer.baselines.unit_rows import centred_unit_rows
from dualtower_trainer.closed_form.choose import (
    Choice,
    choose_closed_form,
    taken_matrix,
    trend_of,
)
from dualtower_trainer.closed_form.cold_share import cold_scale_for_share
from dualtower_trainer.closed_form.config import ClosedFormConfig
from dualtower_trainer.closed_form.features import TextFeatures
from dualtower_trainer.closed_form.fit import ClosedForm, fit_closed_form
from dualtower_trainer.data import Catalogue, Heldout, Split, SplitConfig
from dualtower_trainer.tfidf import tfidf_matrix
from dualtower_trainer.tower_config import TowerConfig
from dualtower_trainer.validation import Validation

__all__ = ["choose_closed_form_tower"]

_ASKED = 2000  # people are enough to set a scale by
_FEWEST_COLD = 20


def choose_closed_form_tower(tuning: Tuning) -> tuple[Scorer, str]:
    """The fitted towers, and what was chosen."""
    config, towers = ClosedFormConfig(), TowerConfig()
    choice = Choice(config.regularisation[0], config.sharpening[0], config.prior[0])
    if tuning.possible:
        inner = _as_split(tuning.train, tuning.validation, tuning.blocked)
        _, choice, _ = choose_closed_form(
            inner,
            Validation(inner, limit=_ASKED),
            _features(tuning.train, config),
            config,
            rank=towers.dim - 2,
            history_items=towers.history_items,
            id_residual=True,
            trend=True,
            tell=say,
        )
    whole = _as_split(tuning.full, tuning.validation, tuning.blocked)
    form = fit_closed_form(
        taken_matrix(whole),
        _features(tuning.full, config),
        rank=towers.dim - 2,
        regularisation=choice.regularisation,
        sharpening=choice.sharpening,
        text_pull=config.text_pull,
        ridge=config.ridge,
        max_items=config.max_items,
    )
    strength = trend_of(whole, config, choice)
    strength[~form.known] = _cold_scale(form, whole, strength, choice, config)
    note = f"regularisation {choice.regularisation:g}, sharpening {choice.sharpening:g}, "
    note += f"prior {choice.prior:g}, {'a' if choice.trends else 'no'} trend"
    return _scorer(form, choice, strength, towers.history_items), note


def _scorer(form: ClosedForm, choice: Choice, strength: np.ndarray, most: int) -> Scorer:
    parts = form.parts()
    ranked = (parts[:, :-1] * strength[:, None]).T

    def score(histories: Sequence[np.ndarray], users: np.ndarray) -> np.ndarray:
        read = history_matrix([history[:most] for history in histories], len(parts))
        return np.asarray(form.people(parts, read, prior=choice.prior) @ ranked, np.float32)

    return score


def _cold_scale(
    form: ClosedForm, parts: Split, trend: np.ndarray, choice: Choice, config: ClosedFormConfig
) -> float:
    """The scale of unseen items at which they get their share of the catalogue of the lists."""
    blocked = parts.catalogue.blocked
    cold = ~form.known & ~blocked
    if cold.sum() < _FEWEST_COLD:
        return 1.0
    taken = taken_matrix(parts)
    active = np.flatnonzero(np.diff(taken.indptr))
    taken = taken[active[np.unique(np.linspace(0, len(active) - 1, _ASKED).astype(int))]]
    numbers = form.parts()
    people = form.people(numbers, taken, prior=choice.prior)
    base = people @ (numbers[:, :-1] * trend[:, None]).T
    base[taken.nonzero()] = -np.inf
    base[:, blocked] = -np.inf

    def scores(scale: float) -> np.ndarray:
        scaled = base.copy()
        scaled[:, cold] *= scale
        return scaled

    wanted = cold.sum() / (~blocked).sum() * config.cold_list_share
    return cold_scale_for_share(scores, cold, share=min(float(wanted), 1.0))


def _features(data: TrainingSet, config: ClosedFormConfig) -> TextFeatures:
    content = np.asarray(data.content(), np.float32)
    mean = content[data.popularity > 0].mean(axis=0)
    bag = tfidf_matrix(data.texts, min_texts=2)
    features = TextFeatures.of(bag, content, mean, config.encoder_share)
    if data.features is None:
        return features
    return replace(
        features, modal=centred_unit_rows(data.features), modal_share=config.features_share
    )


def _as_split(data: TrainingSet, validation: Heldout, blocked: np.ndarray) -> Split:
    """The log of a baseline in the form that the closed form reads; without a test."""
    texts = np.array(data.texts, object)
    warm = data.popularity > 0
    return Split(
        catalogue=Catalogue(np.arange(len(texts)).astype(object), texts, None, blocked),
        config=SplitConfig(),
        kind="time",
        cold=np.zeros(len(texts), bool),
        warm=warm,
        train=data.log,
        full=data.log,
        full_warm=warm,
        validation=validation,
        test=Heldout(np.empty(0, np.int32), np.empty(0, object), [], [], []),
        refit=False,
        report={},
    )
