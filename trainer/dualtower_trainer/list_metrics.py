"""What lists do beside being right: whom they show, how evenly, and whether they fit a taste.

Lists are int64 [users, k] of catalogue rows, best first; -1 fills a list that ran out of items.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["calibration_kl", "category_codes", "coverage", "gini", "shown_counts"]

_UNSMOOTHED = 0.01  # α of Steck 2018


def shown_counts(lists: np.ndarray, n_items: int) -> np.ndarray:
    """How many lists show each item, int64 [items]."""
    return np.bincount(lists[lists >= 0], minlength=n_items)


def gini(counts: np.ndarray) -> float:
    """Gini coefficient of exposure: 0 when all items are shown equally often, near 1 when a few
    take all.

    Σ (2i − n − 1) x_i / (n Σ x) over x in ascending order, i from 1 (Gini 1912, in the form of
    Dixon et al. 1987, https://doi.org/10.2307/1938268). Nothing shown: NaN.
    """
    ordered = np.sort(counts.astype(np.float64))
    if not len(ordered) or ordered.sum() == 0:
        return float("nan")
    ranks = 2 * np.arange(1, len(ordered) + 1) - len(ordered) - 1
    return float((ranks * ordered).sum() / (len(ordered) * ordered.sum()))


def coverage(counts: np.ndarray) -> float:
    """Share of the items that are shown at least once."""
    return float((counts > 0).mean()) if len(counts) else 0.0


def category_codes(categories: np.ndarray | None) -> np.ndarray | None:
    """int64 [items] from names, -1 where an item has none; None when no item has one."""
    if categories is None:
        return None
    names = {name: code for code, name in enumerate(sorted(set(categories) - {""}))}
    return np.array([names.get(name, -1) for name in categories], np.int64)


def calibration_kl(
    lists: np.ndarray, histories: Sequence[np.ndarray], categories: np.ndarray
) -> np.ndarray:
    """KL divergence of the list's categories from the history's, one value a user; 0 is a list
    that has them in the same shares.

    Σ_c p(c) log(p(c) / q̃(c)) with q̃ = (1 − α) q + α p and α = 0.01 (Steck 2018,
    https://doi.org/10.1145/3240323.3240372), items of equal weight.

    Args:
        lists: [users, k].
        histories: catalogue rows of each user.
        categories: a code of each item; items with -1 count on neither side.

    Returns:
        float64 [users]; NaN where either side has no category.
    """
    n_codes = int(categories.max(initial=-1)) + 1
    lengths = np.array([len(history) for history in histories])
    rows = np.repeat(np.arange(len(histories)), lengths)
    taken = np.concatenate([*histories, np.empty(0, np.int64)]).astype(np.int64)
    p = _shares(rows, categories[taken], (len(histories), n_codes))
    shown = np.where(lists >= 0, categories[lists], -1)
    q = _shares(np.repeat(np.arange(len(lists)), lists.shape[1]), shown.ravel(), p.shape)
    mixed = (1 - _UNSMOOTHED) * q + _UNSMOOTHED * p
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(p > 0, p * np.log(p / mixed), np.where(np.isnan(p + q), np.nan, 0.0)).sum(1)


def _shares(rows: np.ndarray, codes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Share of each code in each row, float64; a row without codes is NaN."""
    kept = codes >= 0
    counts = np.zeros(shape)
    np.add.at(counts, (rows[kept], codes[kept]), 1)
    totals = counts.sum(axis=1, keepdims=True)
    return counts / np.where(totals > 0, totals, np.nan)
