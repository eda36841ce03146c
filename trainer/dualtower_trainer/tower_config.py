"""Section [model]: the shape of the towers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TowerConfig"]


@dataclass(frozen=True)
class TowerConfig:
    """Section [model].

    Attributes:
        dim: length of an embedding: dim - 2 numbers of taste, the item's weight, and the rest.
        history_items: most recent items of a person that the user tower reads.
        hidden_units: width of the small network of the user tower.
        wide_grams: most rows of the wide part (word pieces and their pairs); 0 leaves it out.
        id_residual: whether an item that training saw has a vector of its own beside its text.
        trend: whether what is taken more often of late may be ranked higher; chosen on validation.
    """

    dim: int = 384
    history_items: int = 512
    hidden_units: int = 256
    wide_grams: int = 16_384
    id_residual: bool = True
    trend: bool = True

    def __post_init__(self) -> None:
        for name, low, high in (
            ("dim", 8, 2048), ("history_items", 1, 4096), ("hidden_units", 8, 8192),
            ("wide_grams", 0, 1_000_000),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be from {low} to {high}, got {value}")
