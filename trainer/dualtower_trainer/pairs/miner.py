"""When hard negatives are mined, and what a resumed training needs of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dualtower_trainer.pairs.hard_mining import HardNegatives, hard_negatives

__all__ = ["HardNegativeConfig", "HardNegativeMiner"]


@dataclass(frozen=True)
class HardNegativeConfig:
    """How hard negatives are mined.

    Attributes:
        per_anchor: negatives of each anchor; 0 mines none.
        first_rank: ranks before it are too likely to be positives.
        last_rank: one past the last rank that counts as hard.
        max_score: the absolute bound on a negative's cosine.
        margin: the relative bound: a negative's cosine is at most (1 - margin) of the positive's.
        warmup_steps: before it the towers know too little to say what is hard.
        refresh_steps: steps between two minings.
    """

    per_anchor: int = 4
    first_rank: int = 10
    last_rank: int = 100
    max_score: float = 0.95
    margin: float = 0.05
    warmup_steps: int = 200
    refresh_steps: int = 200

    def __post_init__(self) -> None:
        for name in ("per_anchor", "first_rank", "warmup_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.last_rank <= self.first_rank:
            raise ValueError(
                f"last_rank must be above first_rank {self.first_rank}, got {self.last_rank}"
            )
        if self.refresh_steps < 1:
            raise ValueError(f"refresh_steps must be at least 1, got {self.refresh_steps}")
        if not 0 <= self.margin <= 1:
            raise ValueError(f"margin must be from 0 to 1, got {self.margin}")
        if not -1 <= self.max_score <= 1:
            raise ValueError(f"max_score must be a cosine, from -1 to 1, got {self.max_score}")


class HardNegativeMiner:
    """Keeps the negatives of every anchor, and mines them anew as the towers learn.

    What is mined depends on the vectors given, the seed and the number of the refresh alone; what
    was mined is in `state`, so that a training resumed between two refreshes goes on exactly.

    Example:
        miner = HardNegativeMiner(consumed, HardNegativeConfig(), groups=groups, seed=0)
        if miner.due(step):
            miner.refresh(step, user_vectors(), item_vectors(), positive_scores)
        negatives = miner.of(batch_users)          # int32 [batch, per_anchor], -1 for none
    """

    def __init__(
        self,
        excluded: Sequence[npt.NDArray[np.integer]],
        config: HardNegativeConfig,
        *,
        groups: npt.NDArray[np.int32] | None = None,
        seed: int = 0,
    ) -> None:
        """`excluded`: for each anchor the item rows that are no negatives, see `hard_negatives`."""
        self._excluded = excluded
        self._config = config
        self._groups = groups
        self._seed = seed
        self._refresh = -1
        self._items = np.full((len(excluded), config.per_anchor), -1, np.int32)

    def refresh_index(self, step: int) -> int:
        """Which refresh `step` (from 0) belongs to; -1 while the towers warm up."""
        if step < self._config.warmup_steps:
            return -1
        return (step - self._config.warmup_steps) // self._config.refresh_steps

    def due(self, step: int) -> bool:
        """Whether the negatives have to be mined before `step` is taken."""
        return self._config.per_anchor > 0 and self.refresh_index(step) > self._refresh

    def refresh(
        self,
        step: int,
        anchors: npt.NDArray[np.float32],
        items: npt.NDArray[np.float32],
        positive_scores: npt.NDArray[np.float32] | None = None,
    ) -> HardNegatives:
        """Mines for all anchors, keeps and returns the result; arguments as `hard_negatives`."""
        index = self.refresh_index(step)
        if index < 0:
            raise ValueError(f"step {step} is in the warm-up of {self._config.warmup_steps} steps")
        mined = hard_negatives(
            anchors,
            items,
            self._excluded,
            count=self._config.per_anchor,
            ranks=(self._config.first_rank, self._config.last_rank),
            max_score=self._config.max_score,
            positive_scores=positive_scores,
            margin=self._config.margin,
            groups=self._groups,
            seed=(self._seed, index),
        )
        self._refresh, self._items = index, mined.items
        return mined

    def of(self, anchors: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """The negatives of some anchors: int32 [anchors, per_anchor], -1 for none."""
        return self._items[np.asarray(anchors, np.int64)]

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Everything that a resumed training needs, as arrays."""
        return {"items": self._items.copy(), "refresh": np.asarray(self._refresh, np.int64)}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """The inverse of `state`, into a miner made with the same arguments."""
        if state["items"].shape != self._items.shape:
            raise ValueError(
                f"the saved negatives are {state['items'].shape}, this miner has "
                f"{self._items.shape}; make it with the anchors and config of the run that saved it"
            )
        self._items = np.asarray(state["items"], np.int32).copy()
        self._refresh = int(state["refresh"])
