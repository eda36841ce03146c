"""The log of each user, as training and calibration read it."""

from __future__ import annotations

import numpy as np

from dualtower_trainer.data import Interactions

__all__ = ["places_by_user", "rows_by_user"]


def rows_by_user(log: Interactions) -> list[np.ndarray]:
    """Catalogue rows of each user of a log, most recent first."""
    return [log.items[places] for places in places_by_user(log)]


def places_by_user(log: Interactions) -> list[np.ndarray]:
    """Where the interactions of each user stand in a log, most recent first."""
    order = np.lexsort((log.items, -log.timestamps, log.users))
    starts = np.flatnonzero(np.diff(log.users[order], prepend=-1))
    return np.split(order, starts[1:]) if len(order) else []
