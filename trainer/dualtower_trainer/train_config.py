"""Section [train]: how the towers are trained."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TrainConfig"]


@dataclass(frozen=True)
class TrainConfig:
    """Section [train].

    Attributes:
        seed: of every random choice.
        steps: at most so many optimiser steps.
        evaluate_every: steps between two looks at the validation users; each leaves a checkpoint.
        patience: looks without a better Recall@20 before training stops.
        users_per_step: histories in a batch.
        targets_per_user: hidden items of each history; all of them are negatives for the others.
        uniform_negatives: further negatives, drawn evenly from the trained items.
        short_history_share: share of histories cut to 0 … 10 items.
        learning_rate: peak of a linear warm-up and a cosine decay.
        warmup_steps: length of the warm-up.
        weight_decay: of AdamW, on the weight matrices only.
        temperature: start of the learned temperature.
        temperature_min: and the range
        temperature_max: that it is clamped to.
        id_dropout: chance that an item is shown by its text alone, as an unseen item will be.
        validation_users: at most so many are ranked at each look.
    """

    seed: int = 0
    steps: int = 800
    evaluate_every: int = 100
    patience: int = 3
    users_per_step: int = 128
    targets_per_user: int = 16
    uniform_negatives: int = 2048
    short_history_share: float = 0.2
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    weight_decay: float = 1e-4
    temperature: float = 0.07
    temperature_min: float = 0.02
    temperature_max: float = 0.3
    id_dropout: float = 0.3
    validation_users: int = 2000

    def __post_init__(self) -> None:
        for name in (
            "steps", "evaluate_every", "patience", "users_per_step", "targets_per_user",
            "validation_users",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("uniform_negatives", "warmup_steps", "seed", "weight_decay"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("short_history_share", "id_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)}")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")
        if not 0 < self.temperature_min <= self.temperature <= self.temperature_max:
            raise ValueError(
                "0 < temperature_min <= temperature <= temperature_max must hold, got "
                f"{self.temperature_min}, {self.temperature}, {self.temperature_max}"
            )
