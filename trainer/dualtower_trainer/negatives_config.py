"""Section [negatives]: what else a person's next item is told apart from. No TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass

from dualtower_trainer.pairs.miner import HardNegativeConfig

__all__ = ["LOG_Q_KINDS", "NegativesConfig"]

LOG_Q_KINDS = ("exact", "streaming")


@dataclass(frozen=True)
class NegativesConfig:
    """Section [negatives]; the even draws are `uniform_negatives` of section [train].

    Attributes:
        popular: further negatives a step, drawn by how many people took an item. With the even
            draws they make the mixture of https://doi.org/10.1145/3366424.3386195.
        hard_per_user: negatives mined for each person of a batch, for nobody else; 0 is off.
        first_rank: what ranks before it for a person is too likely to be taken yet.
        last_rank: one past the last rank that counts as hard.
        max_score: hard negatives have at most this cosine.
        margin: and at most (1 - margin) of the mean cosine of what the person took last.
        warmup_steps: steps before anything is mined.
        refresh_every: steps between two minings.
        near_duplicates: whether items whose texts say the same as that of a taken item are no
            negatives either.
        diverse_targets: whether of hidden items whose texts say the same only one is asked for.
        log_q: "exact" knows from the log how often a batch holds an item; "streaming" learns it
            from the batches.
        log_q_rate: streaming only: weight of the newest gap between two draws of an item.
    """

    popular: int = 0
    hard_per_user: int = 0
    first_rank: int = 10
    last_rank: int = 100
    max_score: float = 0.95
    margin: float = 0.05
    warmup_steps: int = 100
    refresh_every: int = 100
    near_duplicates: bool = False
    diverse_targets: bool = False
    log_q: str = "exact"
    log_q_rate: float = 0.05

    def __post_init__(self) -> None:
        for name in ("popular", "hard_per_user"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.refresh_every < 1:
            raise ValueError(f"refresh_every must be at least 1, got {self.refresh_every}")
        self.mining()
        if self.log_q not in LOG_Q_KINDS:
            raise ValueError(f"log_q must be one of {', '.join(LOG_Q_KINDS)}, got {self.log_q!r}")
        if not 0 < self.log_q_rate <= 1:
            raise ValueError(f"log_q_rate must be above 0 and at most 1, got {self.log_q_rate}")

    @property
    def needs_groups(self) -> bool:
        """Whether near-duplicate texts have to be looked for."""
        return self.near_duplicates or self.diverse_targets

    def mining(self) -> HardNegativeConfig:
        """The same, as the miner takes it."""
        return HardNegativeConfig(
            per_anchor=self.hard_per_user,
            first_rank=self.first_rank,
            last_rank=self.last_rank,
            max_score=self.max_score,
            margin=self.margin,
            warmup_steps=self.warmup_steps,
            refresh_steps=self.refresh_every,
        )
