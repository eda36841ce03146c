"""Section [heads]: what else the towers learn to foresee of a person and an item. No TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["HeadsConfig"]


@dataclass(frozen=True)
class HeadsConfig:
    """Section [heads].

    Attributes:
        events: whether a head foresees the event of an interaction, such as "view" or "buy".
        ratings: whether a head foresees its rating.
        event_weight: of the events' cross-entropy beside the contrastive loss.
        rating_weight: of the squared error of standardised ratings, likewise.
        hidden_units: width of a head's hidden layer.
        rate: the learning rate of the heads, as a multiple of that of the item tower: no closed
            form starts them.
    """

    events: bool = False
    ratings: bool = False
    event_weight: float = 0.1
    rating_weight: float = 0.1
    hidden_units: int = 32
    rate: float = 10.0

    def __post_init__(self) -> None:
        for name in ("event_weight", "rating_weight", "rate"):
            if getattr(self, name) <= 0:
                raise ValueError(
                    f"{name} must be above 0, got {getattr(self, name)}; events=false and "
                    "ratings=false leave a head out"
                )
        if self.hidden_units < 1:
            raise ValueError(f"hidden_units must be at least 1, got {self.hidden_units}")

    @property
    def is_on(self) -> bool:
        """Whether there is any head."""
        return self.events or self.ratings
