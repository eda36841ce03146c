"""Section [train]: how the towers are trained."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TrainConfig"]


@dataclass(frozen=True)
class TrainConfig:
    """Section [train].

    Attributes:
        seed: of every random choice.
        initial: "closed_form" starts from linear algebra, "random" from nothing.
        steps: at most so many optimiser steps; 0 keeps the closed form.
        evaluate_every: steps between two looks at the validation users; each leaves a checkpoint.
        patience: looks without a better value before training stops.
        users_per_step: histories in a batch.
        targets_per_user: hidden items of each history; all of them are negatives for the others.
        uniform_negatives: further negatives, drawn evenly from the trained items.
        history_items: at most so many items of a history are read in a step.
        short_history_share: share of histories cut to 0 … 10 items.
        learning_rate: peak of a linear warm-up and a cosine decay.
        user_rate: the rate of the user tower, as a share of that of the item tower.
        own_rate: the rate of the items' own vectors, as the same share.
        warmup_steps: length of the warm-up.
        weight_decay: of AdamW, on the weight matrices only.
        clip_norm: longest gradient; a longer one is shortened. 0 is off.
        id_dropout: share of the steps in which candidates are shown by their texts alone, as unseen
            items will be.
        text_dropout: chance that a gram of a text goes unread.
        validation_users: at most so many are ranked at each look.
        fresh_share: share of the items that selection hides as unseen, where the split has none.
        tensorboard: a folder for TensorBoard's event files, "" for none; it makes no other
            training of a run.
    """

    seed: int = 0
    initial: str = "closed_form"
    steps: int = 800
    evaluate_every: int = 100
    patience: int = 6
    users_per_step: int = 128
    targets_per_user: int = 16
    uniform_negatives: int = 2048
    history_items: int = 128
    short_history_share: float = 0.2
    learning_rate: float = 2e-4
    user_rate: float = 0.005
    own_rate: float = 0.005
    warmup_steps: int = 50
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    id_dropout: float = 0.8
    text_dropout: float = 0.3
    validation_users: int = 2000
    fresh_share: float = 0.15
    tensorboard: str = ""

    def __post_init__(self) -> None:
        for name in (
            "evaluate_every", "patience", "users_per_step", "targets_per_user", "history_items",
            "validation_users",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in (
            "steps", "uniform_negatives", "warmup_steps", "seed", "weight_decay", "user_rate",
            "own_rate", "clip_norm",
        ):  # fmt: skip
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.text_dropout < 1:
            raise ValueError(f"text_dropout must be in [0, 1), got {self.text_dropout}")
        for name in ("short_history_share", "id_dropout", "fresh_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)}")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")
        if self.initial not in ("closed_form", "random"):
            raise ValueError(f"initial must be closed_form or random, got {self.initial!r}")
