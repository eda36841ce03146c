"""Full int8 as the converter makes it of a float model, without any help: shown, not shipped.

Its 8-bit activations share one step a tensor, which BERT's outlier channels and the mask's constant
stretch until little is left of the rest.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from dualtower_export.edge_convert import converter_of
from dualtower_export.edge_source import EdgeSource

__all__ = ["naive_int8"]

_EXAMPLES = 200


def naive_int8(source: EdgeSource) -> bytes:
    """int8 weights and activations, their ranges by the calibration inputs; float in and out."""
    converter = converter_of(source)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: _first(source)
    return converter.convert()


def _first(source: EdgeSource) -> Iterator[dict[str, np.ndarray]]:
    for number, request in enumerate(source.requests()):
        if number == _EXAMPLES:
            return
        yield request
