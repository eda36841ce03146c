"""Section [loss]: what training minimises."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LOSS_KINDS", "LossConfig"]

LOSS_KINDS = (
    "linked_softmax", "sampled_softmax", "info_nce", "pairwise", "bce", "triplet", "direct_au",
)  # fmt: skip


@dataclass(frozen=True)
class LossConfig:
    """Section [loss].

    Attributes:
        kind: one of LOSS_KINDS.
        symmetric: info_nce only: items also have to find their users.
        corrected: info_nce only: the form of arXiv 2507.09331 instead of Yi et al. 2019.
        margin: triplet only: the lead in cosine that a positive must have.
        mining: triplet only: which negatives count, "all", "hard" or "semi_hard".
        uniformity_weight: direct_au only: weight of the spread beside the alignment.
        matryoshka_dims: cuts at which the loss is taken and summed; empty for the whole vector.
        matryoshka_weights: one a cut; empty weighs each alike.
        temperature: start of the learned temperature (not in pairwise, triplet, direct_au); in
            linked_softmax all three are in units of the spread of the scores at the start,
        temperature_min: and the range
        temperature_max: that it is clamped to.
        ipw_power: inverse-propensity weighting of the positives, from 0 (none) to 1.
        ipw_clip: the largest weight, as a multiple of that of the most popular item.
    """

    kind: str = "linked_softmax"
    symmetric: bool = False
    corrected: bool = False
    margin: float = 0.2
    mining: str = "semi_hard"
    uniformity_weight: float = 1.0
    matryoshka_dims: tuple[int, ...] = ()
    matryoshka_weights: tuple[float, ...] = ()
    temperature: float = 0.3
    temperature_min: float = 0.1
    temperature_max: float = 1.0
    ipw_power: float = 0.0
    ipw_clip: float = 10.0

    def __post_init__(self) -> None:
        if self.kind not in LOSS_KINDS:
            raise ValueError(f"kind must be one of {', '.join(LOSS_KINDS)}, got {self.kind!r}")
        if (self.symmetric or self.corrected) and self.kind != "info_nce":
            raise ValueError(f"symmetric and corrected belong to info_nce, not to {self.kind}")
        if self.mining not in ("all", "hard", "semi_hard"):
            raise ValueError(f"mining must be all, hard or semi_hard, got {self.mining!r}")
        if not 0 < self.margin <= 2:
            raise ValueError(f"margin must be above 0 and at most 2, got {self.margin}")
        if self.uniformity_weight < 0:
            raise ValueError(f"uniformity_weight must not be negative: {self.uniformity_weight}")
        if any(dim < 1 for dim in self.matryoshka_dims):
            raise ValueError(f"matryoshka_dims must be at least 1, got {self.matryoshka_dims}")
        if self.matryoshka_weights and (
            len(self.matryoshka_weights) != len(self.matryoshka_dims)
            or min(self.matryoshka_weights) <= 0
        ):
            raise ValueError(
                f"matryoshka_weights must be one above 0 for each of the "
                f"{len(self.matryoshka_dims)} matryoshka_dims, got {self.matryoshka_weights}"
            )
        if not 0 < self.temperature_min <= self.temperature <= self.temperature_max:
            raise ValueError(
                "0 < temperature_min <= temperature <= temperature_max must hold, got "
                f"{self.temperature_min}, {self.temperature}, {self.temperature_max}"
            )
        if not 0 <= self.ipw_power <= 1:
            raise ValueError(f"ipw_power must be from 0 to 1, got {self.ipw_power}")
        if self.ipw_clip < 1:
            raise ValueError(f"ipw_clip must be at least 1, got {self.ipw_clip}")
