"""What was measured of each TFLite variant, and whether it ships. Pure."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from dualtower_export.config import ExportConfig
from dualtower_export.fidelity import RankingChange

__all__ = ["DO_NOT_SHIP", "SHIP", "Measured", "judge", "ranking_reasons"]

SHIP, DO_NOT_SHIP = "ship", "do not ship"
# one-sided 95 %: a shortfall that the users compared cannot tell from chance is forgiven
_Z = 1.645


@dataclass(frozen=True)
class Measured:
    """One TFLite file beside the trainer's tower; the cosines are those of tastes."""

    tower: str
    variant: str
    size_bytes: int
    gzip_bytes: int
    cosine_mean: float
    cosine_min: float
    ranking: RankingChange

    @property
    def file(self) -> str:
        """Its place in a bundle."""
        return f"edge/{self.tower}.{self.variant}.tflite"

    def as_json(self, reasons: list[str]) -> dict[str, Any]:
        """The entry of a manifest; `reasons` is what `judge` said."""
        ranking = asdict(self.ranking)
        return {
            "tower": self.tower,
            "variant": self.variant,
            "file": self.file,
            "size_bytes": self.size_bytes,
            "gzip_bytes": self.gzip_bytes,
            "cosine_mean": self.cosine_mean,
            "cosine_min": self.cosine_min,
            "recall_at_10": _number(ranking["recall"]),
            "recall_at_10_float": _number(ranking["recall_float"]),
            "recall_at_10_loss_se": _number(ranking["loss_se"]),
            "overlap_at_10": ranking["overlap"],
            "users": ranking["users"],
            "verdict": DO_NOT_SHIP if reasons else SHIP,
            "reason": "; ".join(reasons),
        }


def judge(measured: Measured, config: ExportConfig) -> list[str]:
    """Why this variant must not ship; empty when it may.

    `float32` changes no number format, so it must also be as near as a SavedModel has to be.
    """
    exact = measured.variant == "float32"
    lowest = config.parity_cosine if exact else config.variant_cosine_min
    reasons = []
    if not measured.cosine_mean >= config.variant_cosine_mean:
        reasons.append(
            f"cosine of tastes to float's {measured.cosine_mean:.4f} on average, "
            f"below {config.variant_cosine_mean} (export.variant_cosine_mean)"
        )
    if not measured.cosine_min >= lowest:
        name = "parity_cosine" if exact else "variant_cosine_min"
        reasons.append(
            f"cosine of tastes to float's {measured.cosine_min:.4f} at worst, below {lowest} "
            f"(export.{name})"
        )
    return reasons + ranking_reasons(measured.ranking, config)


def ranking_reasons(ranking: RankingChange, config: ExportConfig) -> list[str]:
    """Why lists are too far from float's; empty when they are near enough."""
    reasons = []
    if not ranking.overlap >= config.variant_overlap_at_10:
        reasons.append(
            f"keeps {ranking.overlap:.3f} of float's top ten, "
            f"below {config.variant_overlap_at_10} (export.variant_overlap_at_10)"
        )
    loss = ranking.recall_float - ranking.recall
    allowed = (1 - config.variant_recall_ratio) * ranking.recall_float + _Z * ranking.loss_se
    if loss > allowed:
        reasons.append(
            f"Recall@10 {ranking.recall:.4f} against float's {ranking.recall_float:.4f}, "
            f"below the share {config.variant_recall_ratio} (export.variant_recall_ratio) "
            f"beyond the noise of {ranking.users} users"
        )
    return reasons


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
