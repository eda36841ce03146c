"""Vectors brought to length 1, and gradients of what is made of them."""

from __future__ import annotations

import numpy as np

__all__ = ["through_length", "unit_rows"]

_LEAST = 1e-12


def unit_rows(raw: np.ndarray) -> np.ndarray:
    """Rows of [..., dim] divided by their length; a row of zeros stays one."""
    return np.asarray(raw / np.maximum(np.linalg.norm(raw, axis=-1, keepdims=True), _LEAST))


def through_length(raw: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The gradient to `raw` [batch, dim] of a loss of raw / ‖raw‖ with that `gradient`, float32."""
    length = np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), _LEAST)
    unit = raw / length
    return np.asarray(
        (gradient - unit * np.sum(gradient * unit, axis=1, keepdims=True)) / length, np.float32
    )
