"""From a split and the texts to what trains on them: closed form, learner, batches."""

from __future__ import annotations

import numpy as np

from dualtower.errors import DataError
from dualtower_trainer.closed_form.choose import Choice, taken_matrix
from dualtower_trainer.closed_form.fit import ClosedForm, fit_closed_form
from dualtower_trainer.data import Split
from dualtower_trainer.heads.heads import Heads, HeadScale
from dualtower_trainer.heads.labels import SplitLabels
from dualtower_trainer.item_texts import ItemTexts
from dualtower_trainer.learner import Learner
from dualtower_trainer.pairs import near_duplicate_groups
from dualtower_trainer.run_config import RunConfig
from dualtower_trainer.sampling import BatchSampler
from dualtower_trainer.user_logs import places_by_user

__all__ = ["closed_form_of", "make_learner", "make_sampler"]


def closed_form_of(parts: Split, texts: ItemTexts, config: RunConfig, choice: Choice) -> ClosedForm:
    """The closed form of a split's training log with chosen settings.

    Raises:
        DataError: fewer than two items were taken.
    """
    options = config.closed_form
    try:
        return fit_closed_form(
            taken_matrix(parts),
            texts.features(texts.mean(parts.warm), options.encoder_share, options.features_share),
            rank=config.model.dim - 2,
            regularisation=choice.regularisation,
            sharpening=choice.sharpening,
            text_pull=options.text_pull,
            ridge=options.ridge,
            max_items=options.max_items,
        )
    except ValueError as error:
        raise DataError(f"nothing to train on: {error}; see `dualtower data describe`") from error


def make_learner(
    parts: Split, texts: ItemTexts, config: RunConfig, labels: SplitLabels | None = None
) -> Learner:
    """A learner for the training log of a split; `labels` are those of `split_labels`, for heads.

    Raises:
        ValueError: heads are asked for without labels.
    """
    mean = texts.mean(parts.warm)
    heads = None
    if config.heads.is_on:
        if labels is None:
            raise ValueError("the heads of section [heads] need the labels of the split")
        scale = HeadScale.of(labels.train, labels.event_names)
        heads = Heads(config.heads, config.model.dim - 2, scale, seed=config.train.seed)
    return Learner(
        config.model,
        config.train,
        config.loss,
        features=texts.features(
            mean, config.closed_form.encoder_share, config.closed_form.features_share
        ),
        encoder_mean=mean,
        modal_mean=texts.modal_mean,
        vocabulary=texts.vocabulary,
        vocabulary_size=texts.vocabulary_size,
        popularity=np.bincount(parts.train.items, minlength=len(parts.catalogue)),
        adversarial=config.adversarial,
        heads=heads,
    )


def make_sampler(
    parts: Split, config: RunConfig, labels: SplitLabels | None = None
) -> BatchSampler:
    """Batches of the training log of a split, with `labels` on their targets where there are any.

    Raises:
        DataError: nobody took two items.
    """
    options = config.train
    groups = None
    if config.negatives.needs_groups:
        groups = near_duplicate_groups(list(parts.catalogue.texts))
    places = places_by_user(parts.train)
    try:
        return BatchSampler(
            [parts.train.items[place] for place in places],
            len(parts.catalogue),
            history_items=min(options.history_items, config.model.history_items),
            users_per_step=options.users_per_step,
            targets_per_user=options.targets_per_user,
            uniform_negatives=options.uniform_negatives,
            short_history_share=options.short_history_share,
            negatives=config.negatives,
            groups=groups,
            labels=None if labels is None else [labels.train.at(place) for place in places],
        )
    except ValueError as error:
        raise DataError(f"nothing to train on: {error}; see `dualtower data describe`") from error
