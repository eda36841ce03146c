"""Full int8 as the converter makes it of a float model, without any help: shown, not shipped.

Its 8-bit activations share one step a tensor, which BERT's outlier channels and the mask's constant
stretch until little is left of the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import tensorflow as tf

from dualtower_export.edge_convert import converter_of
from dualtower_export.edge_source import EdgeSource

__all__ = ["calibrated", "naive_int8"]

_EXAMPLES = 200


def naive_int8(source: EdgeSource) -> bytes:
    """int8 weights and activations, their ranges by the calibration inputs; float in and out."""
    return calibrated(converter_of(source), source).convert()


def calibrated(converter: tf.lite.TFLiteConverter, source: EdgeSource) -> tf.lite.TFLiteConverter:
    """The converter, told to read the ranges of activations off the first calibration inputs."""

    def examples() -> Iterator[dict[str, np.ndarray]]:
        return islice(source.requests(), _EXAMPLES)

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = examples
    return converter
