"""Section [scenario] of a scenario: what all its points share."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

__all__ = ["ScenarioSettings"]


@dataclass(frozen=True)
class ScenarioSettings:
    """Section [scenario].

    Args:
        title: what the report calls it.
        seed: of texts, histories, arrivals and bootstrap.
        repeats: of all sweeps, one after the other; their spread is the noise of the run.
        history_texts: texts of a history of the recommender.
        deadline_s: after which a request counts as DEADLINE_EXCEEDED.
        confidence: of every interval.
        attempts: how often a void point is measured; the void ones are kept.
        price_per_hour: of the machine by device, for the cost per million of rows; 0: not known.
        currency: of the prices.
    """

    title: str = ""
    seed: int = 7
    repeats: int = 1
    history_texts: int = 20
    deadline_s: float = 10.0
    confidence: float = 0.95
    attempts: int = 2
    price_per_hour: dict[str, float] = dataclasses.field(default_factory=dict)
    currency: str = "USD"

    def __post_init__(self) -> None:
        for name in ("repeats", "history_texts", "attempts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.deadline_s <= 86_400:
            raise ValueError(f"deadline_s must be in (0, 86400], got {self.deadline_s}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence must be between 0 and 1, got {self.confidence}")
