"""Section [closed_form]: how the towers are initialised."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ClosedFormConfig"]


@dataclass(frozen=True)
class ClosedFormConfig:
    """Section [closed_form]. A value of several numbers is a grid, the default first;
    validation chooses.

    Attributes:
        regularisation: λ of the item-item regression, in interactions.
        sharpening: of the comparison among known items; see `fit_closed_form`.
        text_pull: weight of the texts as people who took all that resembles them, times λ.
        ridge: regularisation of the map from texts to factors.
        encoder_share: length of the encoder's part of the text features beside the wide part's.
        features_share: the same of the part of vectors of another modality.
        prior: strength of what is recommended to nobody in particular, beside one item.
        max_items: so many of the most frequent items enter the regression, whose time grows with
            their cube; the others are placed by their texts.
        half_lives: of the recent popularity, as shares of the log's span.
        trend_powers: of recent over overall popularity; no trend is always tried.
        freshness: how much an item loses with its age, where there is a trend.
        trend_smoothing: interactions that every item is given on top.
        cold_list_share: wanted share of unseen items in the lists over their share of the
            catalogue.
    """

    regularisation: tuple[float, ...] = (300.0, 100.0, 1000.0)
    sharpening: tuple[float, ...] = (0.5, 0.0)
    text_pull: float = 0.1
    ridge: float = 1.0
    encoder_share: float = 0.5
    features_share: float = 1.0
    prior: tuple[float, ...] = (0.01, 0.1, 0.3, 1.0, 3.0)
    max_items: int = 12_000
    half_lives: tuple[float, ...] = (0.025, 0.05, 0.1, 0.2)
    trend_powers: tuple[float, ...] = (0.25, 0.4, 0.55, 0.75, 1.0)
    freshness: tuple[float, ...] = (0.2, 0.0)
    trend_smoothing: float = 10.0
    cold_list_share: float = 1.0

    def __post_init__(self) -> None:
        for name in ("regularisation", "prior", "half_lives", "trend_powers"):
            values = getattr(self, name)
            if not values or min(values) <= 0:
                raise ValueError(f"{name} must be one or more numbers above 0, got {values}")
        for name in ("ridge", "trend_smoothing"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("sharpening", "freshness"):
            values = getattr(self, name)
            if not values or min(values) < 0:
                raise ValueError(f"{name} must be one or more numbers from 0, got {values}")
        for name in ("text_pull", "encoder_share", "features_share", "cold_list_share"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.max_items < 2:
            raise ValueError(f"max_items must be at least 2, got {self.max_items}")
