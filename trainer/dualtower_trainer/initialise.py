"""The closed form written into the towers, and the scales that are set after training.

Items are kept as *parts*, float32 [items, dim - 1]: taste and weight before they are filled up to
length 1 (see towers.py).
"""

from __future__ import annotations

import numpy as np
import tf_keras as keras

from dualtower_trainer.closed_form import ClosedForm
from dualtower_trainer.towers import WEIGHT_SCALE
from dualtower_trainer.wide import WideVocabulary

__all__ = ["closed_form_into_towers", "rescale_parts", "rescale_text", "shrink_towers"]

_ROOM = 0.9


def closed_form_into_towers(
    form: ClosedForm,
    item_head: keras.Model,
    user_tower: keras.Model,
    *,
    mean: np.ndarray,
    vocabulary: WideVocabulary,
    prior: float,
    id_residual: bool,
    modal_mean: np.ndarray | None = None,
) -> np.ndarray:
    """Sets the weights of both towers so that they rank as the closed form does.

    Args:
        form: the closed form.
        item_head: gets the text map.
        user_tower: gets the turn, the weights of history items and the prior.
        mean: float32 [hidden], what the head subtracts from the encoder's output.
        vocabulary: of the wide part.
        prior: strength of what everybody likes.
        id_residual: whether items have parts of their own.
        modal_mean: float32 [width], what the head subtracts from vectors of another modality; None
            where the catalogue has none.

    Returns:
        the items' own parts float32 [items, dim - 1]; those of the text where there are none.
    """
    rank = len(form.turn)
    numbers = form.parts(id_residual=id_residual)
    longest = np.linalg.norm(numbers[:, :-1], axis=1).max()
    scale = np.full(rank + 1, _ROOM / 2 / max(float(longest), 1e-12), np.float32)
    scale[-1] = WEIGHT_SCALE
    _set(item_head, "centre", mean)
    _set(item_head, "project", form.text.projection * scale, form.text.bias * scale)
    if modal_mean is not None and form.text.modal is not None:
        _set(item_head, "features_centre", modal_mean)
        _set(item_head, "project_features", form.text.modal * scale)
    wide = item_head.get_layer("wide")
    if len(vocabulary):
        wide.fill(vocabulary)
    wide.table.assign(np.concatenate([np.zeros((1, rank + 1)), form.text.table * scale]))
    pool = user_tower.get_layer("pool")
    attention = np.zeros(pool.attention.shape, np.float32)
    attention[rank] = 1 / WEIGHT_SCALE
    pool.attention.assign(attention)
    pool.position.assign(np.zeros(pool.position.shape))
    turn = np.zeros((rank + 2, rank + 2), np.float32)
    turn[np.arange(rank), np.arange(rank)] = form.turn
    # the crowd is a sum over a history of one item, whose pool divides by √2
    liked = np.concatenate([prior * form.crowd * scale[:-1] / np.sqrt(2), [0, 0]])
    _set(user_tower, "turn", turn, liked)
    return (numbers * scale).astype(np.float32)


def rescale_parts(parts: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Items recommended `scale` [items] times as strongly, saying as much about a person as before.

    The taste is multiplied and the weight in a history divided, so that their product stays.
    """
    changed = parts * scale[:, None]
    changed[:, -1] = parts[:, -1] - WEIGHT_SCALE * np.log(scale)
    return changed.astype(np.float32)


def rescale_text(item_head: keras.Model, scale: float) -> None:
    """`rescale_parts` for every item that is placed by its content alone."""
    _scale_tastes(item_head, scale)
    project = item_head.get_layer("project")
    kernel, bias = project.get_weights()
    bias[-1] -= WEIGHT_SCALE * np.log(scale)
    project.set_weights([kernel, bias])


def shrink_towers(item_head: keras.Model, user_tower: keras.Model, parts: np.ndarray) -> np.ndarray:
    """Scales all tastes alike so that the longest fits into the unit ball; rankings stay.

    Returns:
        the scaled parts.
    """
    lengths = np.sqrt(np.maximum(_ROOM**2 - parts[:, -1] ** 2, 0.01))
    tastes = np.linalg.norm(parts[:, :-1], axis=1)
    factor = float(1 / max(np.max(tastes / lengths), 1e-12))
    _scale_tastes(item_head, factor)
    turn = user_tower.get_layer("turn")
    kernel, prior = turn.get_weights()
    turn.set_weights([kernel, prior * factor])
    scaled = parts * factor
    scaled[:, -1] = parts[:, -1]
    return scaled.astype(np.float32)


def _scale_tastes(item_head: keras.Model, factor: float) -> None:
    """Multiplies the tastes of everything that the head makes of an item's content."""
    project, wide = item_head.get_layer("project"), item_head.get_layer("wide")
    kernel, bias = project.get_weights()
    kernel[:, :-1] *= factor
    bias[:-1] *= factor
    project.set_weights([kernel, bias])
    table = wide.table.numpy()
    table[:, :-1] *= factor
    wide.table.assign(table)
    if "features" in item_head.input:
        modal = item_head.get_layer("project_features").kernel
        modal.assign(np.concatenate([modal[:, :-1] * factor, modal[:, -1:]], axis=1))


def _set(model: keras.Model, layer: str, *weights: np.ndarray) -> None:
    model.get_layer(layer).set_weights([np.asarray(weight, np.float32) for weight in weights])
