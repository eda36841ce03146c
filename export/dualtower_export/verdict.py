"""What was measured of each TFLite variant, and whether it ships. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dualtower_export.config import ExportConfig
from dualtower_export.edge_delegation import Delegation
from dualtower_export.edge_timing import Timing
from dualtower_export.fidelity import RankingChange

__all__ = ["DO_NOT_SHIP", "SHIP", "Measured", "judge", "ranking_reasons"]

SHIP, DO_NOT_SHIP = "ship", "do not ship"
# one-sided 95 %: a shortfall that the users compared cannot tell from chance is forgiven
_Z = 1.645


@dataclass(frozen=True)
class Measured:
    """One TFLite file beside the trainer's tower.

    Attributes:
        tower: "item_tower" or "user_tower".
        variant: as the file is named, its length included where it is not the run's.
        size_bytes: with its metadata.
        gzip_bytes: the same compressed.
        cosine_mean: of tastes to the trainer's.
        cosine_min: the same at worst.
        ranking: recall, NDCG and overlap of its top ten.
        item_tokens: length of an item tower's input; ANY_LENGTH where it is free, None for a user
            tower.
        timings: of its calls, by threads.
        delegation: what XNNPACK takes over.
        peak_memory_bytes: what loading and asking it takes beyond a bare interpreter.
    """

    tower: str
    variant: str
    size_bytes: int
    gzip_bytes: int
    cosine_mean: float
    cosine_min: float
    ranking: RankingChange
    item_tokens: int | None = None
    timings: Sequence[Timing] = ()
    delegation: Delegation | None = None
    peak_memory_bytes: int | None = None

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
            "item_tokens": self.item_tokens,
            "size_bytes": self.size_bytes,
            "gzip_bytes": self.gzip_bytes,
            "cosine_mean": self.cosine_mean,
            "cosine_min": self.cosine_min,
            "recall_at_10": _number(ranking["recall"]),
            "recall_at_10_float": _number(ranking["recall_float"]),
            "recall_at_10_se": _number(ranking["recall_se"]),
            "recall_at_10_loss_se": _number(ranking["loss_se"]),
            "ndcg_at_10": _number(ranking["ndcg"]),
            "ndcg_at_10_float": _number(ranking["ndcg_float"]),
            "ndcg_at_10_loss_se": _number(ranking["ndcg_loss_se"]),
            "overlap_at_10": ranking["overlap"],
            "users": ranking["users"],
            "ms_p50": {str(one.threads): one.ms_p50 for one in self.timings},
            "ms_p90": {str(one.threads): one.ms_p90 for one in self.timings},
            "times_float32": {str(one.threads): one.ratio for one in self.timings},
            "timed_calls": {str(one.threads): one.calls for one in self.timings},
            "ops": self.delegation and self.delegation.ops,
            "delegated_ops": self.delegation and self.delegation.delegated_ops,
            "partitions": self.delegation and self.delegation.partitions,
            "peak_memory_bytes": self.peak_memory_bytes,
            "verdict": DO_NOT_SHIP if reasons else SHIP,
            "reason": "; ".join(reasons),
        }


def judge(measured: Measured, config: ExportConfig) -> list[str]:
    """Why this variant must not ship; empty when it may.

    `float32` changes no number format, so it must also be as near as a SavedModel has to be; its
    time is no reason.
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
    reasons += ranking_reasons(measured.ranking, config)
    ceiling = config.variant_latency_ratio
    slowest = next((one.ratio for one in measured.timings if one.threads == 1), 0.0)
    if not exact and ceiling and slowest > ceiling:
        reasons.append(
            f"a call takes {slowest:.1f} times float32's, above {ceiling} "
            "(export.variant_latency_ratio)"
        )
    return reasons


def ranking_reasons(ranking: RankingChange, config: ExportConfig) -> list[str]:
    """Why lists are too far from float's; empty when they are near enough."""
    reasons = []
    if not ranking.overlap >= config.variant_overlap_at_10:
        reasons.append(
            f"keeps {ranking.overlap:.3f} of float's top ten, "
            f"below {config.variant_overlap_at_10} (export.variant_overlap_at_10)"
        )
    for metric, found, wanted, loss_se, setting in (
        ("Recall@10", ranking.recall, ranking.recall_float, ranking.loss_se,
         "variant_recall_ratio"),
        ("NDCG@10", ranking.ndcg, ranking.ndcg_float, ranking.ndcg_loss_se, "variant_ndcg_ratio"),
    ):  # fmt: skip
        share = getattr(config, setting)
        if wanted - found > (1 - share) * wanted + _Z * loss_se:
            reasons.append(
                f"{metric} {found:.4f} against float's {wanted:.4f}, below the share {share} "
                f"(export.{setting}) beyond the noise of {ranking.users} users"
            )
    return reasons


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
