"""What is asked of a method: which users, which targets, which candidates.

Three questions, each with its own candidates; a person's history is never a candidate:
- warm: which known items will they take next?  candidates: items with training interactions
- cold: which of the items nobody has taken yet?  candidates: the cold items only
- cold_in_full: do cold items surface at all?  candidates: warm and cold together

The last one can be gamed by a constant added to cold scores, so the share of cold items in the
lists stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dualtower_trainer.data import Catalogue, Heldout

__all__ = ["HEAD_SHARE", "SCOPES", "Scope", "Trial"]

HEAD_SHARE = 0.2  # of the warm items, by training users, are the head
SCOPES = ("warm", "cold", "cold_in_full")


@dataclass(frozen=True, eq=False)
class Scope:
    """One question: bool [items] of what may be answered, and the targets of each user."""

    name: str
    candidates: np.ndarray
    targets: Sequence[np.ndarray]

    @cached_property
    def asked(self) -> np.ndarray:
        """bool [users]: who has a target."""
        return np.array([len(rows) > 0 for rows in self.targets], bool)

    @property
    def users(self) -> int:
        return int(self.asked.sum())


@dataclass(frozen=True, eq=False)
class Trial:
    """Users whose future is known, and a catalogue to rank.

    Attributes:
        catalogue: the items.
        heldout: users, histories, targets; a user code of -1 is someone new.
        warm: bool [items], taken in training.
        cold: bool [items], the items whose recall as unseen items is asked for.
        popularity: training users of each item, [items].
        chosen: bool [items], to which the candidates are restricted; None is all.
    """

    catalogue: Catalogue
    heldout: Heldout
    warm: np.ndarray
    cold: np.ndarray
    popularity: np.ndarray
    chosen: np.ndarray | None = None

    @cached_property
    def scopes(self) -> tuple[Scope, ...]:
        """The three questions; blocked items are in none of them."""
        allowed = ~self.catalogue.blocked
        if self.chosen is not None:
            allowed = allowed & self.chosen
        warm, cold = self.warm & allowed, self.cold & allowed
        warm_targets, cold_targets = (
            [rows[kept[rows]] for rows in targets]
            for targets, kept in (
                (self.heldout.warm_targets, warm),
                (self.heldout.cold_targets, cold),
            )
        )
        return (
            Scope("warm", warm, warm_targets),
            Scope("cold", cold, cold_targets),
            Scope("cold_in_full", warm | cold, cold_targets),
        )

    @cached_property
    def head(self) -> np.ndarray:
        """bool [items]: the most popular HEAD_SHARE of the warm items."""
        rows = np.flatnonzero(self.warm)
        most = max(1, round(HEAD_SHARE * len(rows)))
        head = np.zeros(len(self.catalogue), bool)
        head[rows[np.argsort(-self.popularity[rows], kind="stable")[:most]]] = True
        return head
