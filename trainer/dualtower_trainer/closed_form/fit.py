"""The closed form of both towers from a log and the features of the texts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from dualtower_trainer.closed_form.factors import factorise
from dualtower_trainer.closed_form.features import TextFeatures
from dualtower_trainer.closed_form.item_weights import precision_matrix
from dualtower_trainer.closed_form.text_map import TextMap, fit_text_map

__all__ = ["ClosedForm", "fit_closed_form"]


@dataclass(frozen=True, eq=False)
class ClosedForm:
    """Factors of every item, and what a person is made of.

    Attributes:
        own: float32 [items, rank + 1], the vector of an item and its log weight in a history.
        known: bool [items], the items that have such numbers of their own.
        text: the map from text features to the same numbers.
        from_text: float32 [items, rank + 1], that map of every item.
        turn: float32 [rank], by which a person differs from the sum of the items.
        crowd: float32 [rank], what everybody likes, as strong as one item of a history.
    """

    own: np.ndarray
    known: np.ndarray
    text: TextMap
    from_text: np.ndarray
    turn: np.ndarray
    crowd: np.ndarray

    def parts(self, *, id_residual: bool = True) -> np.ndarray:
        """float32 [items, rank + 1]: an item's own numbers, or those of its text."""
        if not id_residual:
            return self.from_text
        return np.where(self.known[:, None], self.own, self.from_text)

    def person_values(self, parts: np.ndarray) -> np.ndarray:
        """What each item adds to a person, float32 [items, rank]."""
        return np.exp(parts[:, -1:]) * parts[:, :-1] * self.turn

    def people(
        self, parts: np.ndarray, histories: sparse.csr_matrix, *, prior: float
    ) -> np.ndarray:
        """Vectors float32 [people, rank] of histories [people, items]; what the user tower gives,
        up to the length. The prior counts as much as a history of one item.
        """
        length = np.sqrt(1 + np.asarray(histories.sum(axis=1)))
        crowd = prior * self.crowd / np.sqrt(2)
        return np.asarray(histories @ self.person_values(parts) / length + crowd, np.float32)


def fit_closed_form(
    taken: sparse.csr_matrix,
    features: TextFeatures,
    *,
    rank: int,
    regularisation: float,
    sharpening: float,
    text_pull: float,
    ridge: float,
    max_items: int,
) -> ClosedForm:
    """Fits everything but the scales that validation chooses.

    Args:
        taken: [users, items], 1 where a user took an item in training.
        features: of the texts of all items.
        rank: numbers of a vector.
        regularisation: λ, see `precision_matrix`.
        sharpening: items that training knows are compared by eigenvalues to the power
            1 + sharpening, which quietens the weak directions, where the noise is. Their own
            vectors carry it and the person undoes half of it, so that items placed by their text,
            which need every direction, are compared as they were.
        text_pull: see `precision_matrix`.
        ridge: see `fit_text_map`.
        max_items: only so many of the most frequent items get numbers of their own.

    Raises:
        ValueError: fewer than two items were taken.
    """
    popularity = np.asarray(taken.sum(axis=0)).ravel()
    order = np.argsort(-popularity, kind="stable")[:max_items]
    rows = np.sort(order[popularity[order] > 0])
    if len(rows) < 2:
        raise ValueError("fewer than two items were taken in training")
    kernel = features.kernel(rows, rows) if text_pull else None
    precision = precision_matrix(
        taken[:, rows], kernel, regularisation=regularisation, text_pull=text_pull
    )
    factors = factorise(precision, rank)
    del precision, kernel
    counts = popularity[rows]
    level = np.average(factors.log_weights, weights=counts)
    own = np.zeros((taken.shape[1], rank + 1), np.float32)
    gain = factors.spectrum**sharpening
    own[rows, :-1] = factors.vectors * gain
    own[rows, -1] = factors.log_weights - level
    known = np.zeros(taken.shape[1], bool)
    known[rows] = True
    plain = own[rows].copy()
    plain[:, :-1] = factors.vectors
    text = fit_text_map(
        features, rows, plain, counts, ridge=ridge, centred=np.arange(rank + 1) == rank
    )
    turn = factors.signs / gain
    form = ClosedForm(own, known, text, text.apply(features), turn, np.zeros(rank, np.float32))
    return replace(form, crowd=_crowd(taken, form, counts, rows))


def _crowd(
    taken: sparse.csr_matrix, form: ClosedForm, counts: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    values = form.person_values(form.own)
    people = taken @ values
    lengths = np.linalg.norm(people, axis=1, keepdims=True)
    mean = np.mean(people / np.maximum(lengths, 1e-12), axis=0)
    strength = np.average(np.linalg.norm(values[rows], axis=1), weights=counts)
    return np.asarray(mean / max(np.linalg.norm(mean), 1e-12) * strength, np.float32)
