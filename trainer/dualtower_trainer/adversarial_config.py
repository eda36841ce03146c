"""Section [adversarial]: training on embeddings that are moved where the loss grows."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ADVERSARIAL_KINDS", "AdversarialConfig"]

ADVERSARIAL_KINDS = ("off", "fgm", "pgd")


@dataclass(frozen=True)
class AdversarialConfig:
    """Section [adversarial].

    Attributes:
        kind: "off", "fgm" (one step along the gradient) or "pgd" (several, projected).
        epsilon: how far an embedding is moved, as a share of its length.
        steps: pgd only: steps of the ascent.
        step_size: pgd only: length of a step, as a share of epsilon.
        weight: of the loss at the moved embeddings, beside the clean one.
    """

    kind: str = "off"
    epsilon: float = 0.1
    steps: int = 3
    step_size: float = 0.5
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in ADVERSARIAL_KINDS:
            allowed = ", ".join(ADVERSARIAL_KINDS)
            raise ValueError(f"kind must be one of {allowed}, got {self.kind!r}")
        if not 0 < self.epsilon <= 1:
            raise ValueError(f"epsilon must be above 0 and at most 1, got {self.epsilon}")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        for name in ("step_size", "weight"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")

    @property
    def is_on(self) -> bool:
        return self.kind != "off"
