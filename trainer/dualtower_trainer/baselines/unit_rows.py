"""Vectors brought to length 1, and gradients of what is made of them."""

from __future__ import annotations

import numpy as np

__all__ = ["centred_unit_rows", "through_length", "unit_rows"]

_LEAST = 1e-12


def unit_rows(raw: np.ndarray) -> np.ndarray:
    """Rows of [..., dim] divided by their length; a row of zeros stays one."""
    return np.asarray(raw / np.maximum(np.linalg.norm(raw, axis=-1, keepdims=True), _LEAST))


def centred_unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows [items, width] around the mean of those that are not zeros, of length 1, float32.

    Centring frees them of the direction that all of them share (Mu & Viswanath 2018,
    https://arxiv.org/abs/1702.01417). A row of zeros, no vector, stays that, and so does the mean.
    """
    present = vectors.any(axis=1, keepdims=True)
    mean = vectors.sum(axis=0) / max(int(present.sum()), 1)
    centred = (vectors - mean) * present
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.where(lengths > 1e-6, lengths, np.inf), np.float32)


def through_length(raw: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The gradient to `raw` [batch, dim] of a loss of raw / ‖raw‖ with that `gradient`, float32."""
    length = np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), _LEAST)
    unit = raw / length
    return np.asarray(
        (gradient - unit * np.sum(gradient * unit, axis=1, keepdims=True)) / length, np.float32
    )
