"""From a text's features to the factors that its item would have: ridge regression, in the dual."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from dualtower_trainer.closed_form.features import TextFeatures

__all__ = ["TextMap", "fit_text_map"]


@dataclass(frozen=True, eq=False)
class TextMap:
    """A linear map of text features.

    Attributes:
        table: float32 [grams, out], of the bag.
        projection: float32 [hidden, out], of the centred encoder vector of length 1.
        bias: float32 [out].
        modal: float32 [width, out], of the centred vector of another modality; None without any.
    """

    table: np.ndarray
    projection: np.ndarray
    bias: np.ndarray
    modal: np.ndarray | None = None

    def apply(self, features: TextFeatures) -> np.ndarray:
        """float32 [items, out]."""
        mapped = features.bag @ self.table + features.dense @ self.projection + self.bias
        if self.modal is not None:
            mapped = mapped + features.modal @ self.modal
        return np.asarray(mapped, np.float32)


def fit_text_map(
    features: TextFeatures,
    rows: np.ndarray,
    targets: np.ndarray,
    popularity: np.ndarray,
    *,
    ridge: float,
    centred: np.ndarray,
) -> TextMap:
    """Ridge regression with weight √popularity, solved with one unknown an item.

    Minimises Σ_j √pop_j · |y_j - bias - F_j M|² + ridge · |M|² through M = Fᵀ α with
    (F Fᵀ + ridge · diag(1/√pop)) α = y - bias.

    Args:
        features: of the whole catalogue.
        rows: int [n], the items to learn from.
        targets: float32 [n, out].
        popularity: float [n], above 0.
        ridge: strength of the regularisation.
        centred: bool [out], the outputs that get a bias, the weighted mean of their targets; the
            others have none, so a text without any feature is mapped to 0.
    """
    weights = np.sqrt(np.asarray(popularity, np.float64))
    bias = np.where(centred, np.average(targets, axis=0, weights=weights), 0.0)
    system = features.kernel(rows, rows)
    system[np.diag_indices_from(system)] += ridge / weights
    dual = linalg.solve(system, targets - bias, assume_a="pos", overwrite_a=True)
    modal = None
    if features.modal is not None:
        modal = (features.modal_share**2 * (features.modal[rows].T @ dual)).astype(np.float32)
    return TextMap(
        np.asarray(features.bag[rows].T @ dual, np.float32),
        (features.dense_share**2 * (features.dense[rows].T @ dual)).astype(np.float32),
        bias.astype(np.float32),
        modal,
    )
