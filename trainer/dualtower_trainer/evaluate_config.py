"""Section [evaluate]: what stands beside the towers, and how it is compared."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from dualtower_trainer.baselines import BASELINES, CHEAP

__all__ = ["EvaluateConfig"]


@dataclass(frozen=True)
class EvaluateConfig:
    """Section [evaluate].

    Attributes:
        baselines: which of BASELINES stand beside the towers; by default those that are fitted in
            seconds.
        seed: of baselines with random parts and of the bootstrap.
        bootstrap_draws: resamples of the users behind each interval and p.
        exposure_weight: above 0 the towers' lists are also shown reordered for an even exposure of
            the items, see exposure.py; in units of score, sensible from 0.0003 to 0.01.
        exposure_pool: how many of a user's best are reordered.
        dense_items: above so many items the baselines are left out that need a dense matrix of
            items × items (4 bytes each).
    """

    baselines: tuple[str, ...] = CHEAP
    seed: int = 0
    bootstrap_draws: int = 2000
    exposure_weight: float = 0.0
    exposure_pool: int = 100
    dense_items: int = 20_000

    def __post_init__(self) -> None:
        for name in self.baselines:
            if name not in BASELINES:
                near = difflib.get_close_matches(name, BASELINES, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(BASELINES)}"
                raise ValueError(f"no baseline {name!r}; {hint}")
        if self.bootstrap_draws < 1:
            raise ValueError(f"bootstrap_draws must be at least 1, got {self.bootstrap_draws}")
        if self.exposure_weight < 0:
            raise ValueError(f"exposure_weight must not be negative, got {self.exposure_weight}")
        if self.exposure_pool < 20:
            raise ValueError(
                f"exposure_pool must hold a list of 20 items at least, got {self.exposure_pool}"
            )
