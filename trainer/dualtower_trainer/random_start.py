"""Towers that start from nothing: random projections, and items near what their content says."""

from __future__ import annotations

import numpy as np
import tf_keras as keras

from dualtower_trainer.closed_form import TextFeatures
from dualtower_trainer.towers import WEIGHT_SCALE
from dualtower_trainer.wide import WideVocabulary

__all__ = ["random_into_towers"]

_TEXT_LENGTH, _OWN_LENGTH = 0.4, 0.02  # of the two parts of an item


def random_into_towers(
    item_head: keras.Model,
    user_tower: keras.Model,
    *,
    features: TextFeatures,
    mean: np.ndarray,
    vocabulary: WideVocabulary,
    seed: int,
    modal_mean: np.ndarray | None = None,
) -> np.ndarray:
    """Sets the weights of both towers; the wide part says nothing yet.

    Args:
        item_head: gets random projections of the encoder's output and of other modalities.
        user_tower: gets the weights of history items, and a prior of next to nothing.
        features: texts of the whole catalogue.
        mean: float32 [hidden], what the head subtracts from the encoder's output.
        vocabulary: of the wide part.
        seed: of the random numbers.
        modal_mean: float32 [width], the same of vectors of another modality; None without any.

    Returns:
        the items' own parts float32 [items, dim - 1].
    """
    rng = np.random.default_rng(seed)
    project = item_head.get_layer("project")
    hidden, parts = project.kernel.shape
    spread = _TEXT_LENGTH / np.sqrt(parts)
    project.kernel.assign(rng.normal(0, spread, (hidden, parts)).astype(np.float32))
    if len(vocabulary):
        item_head.get_layer("wide").fill(vocabulary)
    item_head.get_layer("centre").mean.assign(mean)
    attention = np.zeros((parts + 1, 1), np.float32)
    attention[parts - 1] = 1 / WEIGHT_SCALE
    user_tower.get_layer("pool").attention.assign(attention)
    turn = user_tower.get_layer("turn")
    turn.bias.assign(rng.normal(0, 0.01, parts + 1).astype(np.float32))
    own = features.dense @ project.kernel.numpy()
    if features.modal is not None:
        item_head.get_layer("features_centre").mean.assign(modal_mean)
        kernel = item_head.get_layer("project_features").kernel
        kernel.assign(rng.normal(0, spread, kernel.shape).astype(np.float32))
        own += features.modal @ kernel.numpy()
    own += rng.normal(0, _OWN_LENGTH / np.sqrt(parts), own.shape)
    own[:, -1] = 0
    return np.asarray(own, np.float32)
