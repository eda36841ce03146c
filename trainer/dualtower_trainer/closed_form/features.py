"""What the closed form knows of an item without a log: the wide bag of its text, beside it the
centred encoder vector, and a centred vector of another modality where there is one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

__all__ = ["TextFeatures"]


@dataclass(frozen=True, eq=False)
class TextFeatures:
    """Features of every item of a catalogue.

    Attributes:
        bag: float32 [items, grams], rows of length 1 or 0.
        dense: float32 [items, hidden], centred encoder vectors of length 1.
        dense_share: length of the dense part beside the bag's.
        modal: float32 [items, width], centred vectors of another modality, of length 1 or 0; None
            where the catalogue has none.
        modal_share: length of the modal part beside the bag's.
    """

    bag: sparse.csr_matrix
    dense: np.ndarray
    dense_share: float
    modal: np.ndarray | None = None
    modal_share: float = 1.0

    @staticmethod
    def of(bag: sparse.csr_matrix, encodings: np.ndarray, mean: np.ndarray, dense_share: float
    ) -> TextFeatures:  # fmt: skip
        """From encoder outputs [items, hidden] and the mean [hidden] that the head subtracts."""
        centred = encodings - mean
        length = np.sqrt(np.maximum((centred**2).sum(axis=1, keepdims=True), 1e-12))
        return TextFeatures(bag, (centred / length).astype(np.float32), dense_share)

    def kernel(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Inner products float64 [rows, columns] of the features of two sets of items."""
        wide = (self.bag[rows] @ self.bag[columns].T).toarray().astype(np.float64)
        deep = self.dense[rows].astype(np.float64) @ self.dense[columns].T
        kernel = wide + self.dense_share**2 * deep
        if self.modal is not None:
            seen = self.modal[rows].astype(np.float64) @ self.modal[columns].T
            kernel += self.modal_share**2 * seen
        return np.asarray(kernel)
