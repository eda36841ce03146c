"""Full int8 that keeps its ranking: every product, attention and GELU of 8 bits with fixed steps.

What a DSP or an NPU runs: no range is looked for at run time. `int8_ops` says what keeps the
digits, export/README.md what each part of it is worth.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from dualtower_export.edge_convert import converter_for, dynamic_range
from dualtower_export.edge_source import ITEM_TOWER, EdgeSource, cut_to, requests_of
from dualtower_export.int8_bert import Int8Bert
from dualtower_export.int8_ops import Rounded, Watched
from dualtower_export.int8_ranges import Range
from dualtower_export.int8_towers import Int8ItemTower, Int8UserTower

__all__ = ["full_int8", "watch"]

_EXAMPLES = 512
_AT_ONCE = 64


def full_int8(source: EdgeSource) -> bytes:
    """Weights and activations in int8 by ranges of the calibration inputs; float out."""
    tower = _tower_of(source)
    ops = Rounded(watch(source))
    # what has its range in the graph becomes int8 throughout
    return dynamic_range(
        converter_for(source, lambda first, mask: tower(ops, first, mask), tower.model)
    )


def watch(source: EdgeSource) -> Mapping[str, Range]:
    """Ranges of all activations of a tower over its first calibration inputs."""
    tower, ops = _tower_of(source), Watched()
    rows = len(source.calibration["mask"])
    for start in range(0, min(rows, _EXAMPLES), _AT_ONCE):
        chunk = slice(start, min(start + _AT_ONCE, rows, _EXAMPLES))
        first, mask = _inputs(source, chunk)
        ops.real = mask.reshape(-1) > 0 if source.tower == ITEM_TOWER else np.ones(0, bool)
        tower(ops, tf.constant(first), tf.constant(mask))
    return ops.ranges


def _tower_of(source: EdgeSource) -> Int8ItemTower | Int8UserTower:
    trained = source.trained
    if source.tower == ITEM_TOWER:
        encoder = trained.encoder()
        return Int8ItemTower(Int8Bert(encoder.config, encoder.tensors), trained.item_head)
    return Int8UserTower(trained.user_tower)


def _inputs(source: EdgeSource, chunk: slice) -> tuple[np.ndarray, np.ndarray]:
    """A few calibration inputs side by side."""
    some = {
        name: value if name == "vectors" else value[chunk]
        for name, value in source.calibration.items()
    }
    if source.tower == ITEM_TOWER:
        texts = cut_to(some, source.tokens or source.trained.max_tokens)
        return texts["ids"], texts["mask"]
    histories = list(requests_of(source.tower, some, source.tokens))
    items, mask = (np.concatenate([one[name] for one in histories]) for name in ("items", "mask"))
    return items, mask
