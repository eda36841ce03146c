"""The `[export]` section of a configuration: what goes into a bundle, and what a gate demands."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["VARIANTS", "ExportConfig"]

VARIANTS = ("float32", "float16", "dynamic_int8")
_SHARES = (
    "parity_cosine",
    "variant_cosine_mean",
    "variant_cosine_min",
    "variant_overlap_at_10",
    "variant_recall_ratio",
)
# The stock server refuses a version whose warm-up file holds more than 1,000 records.
_MAX_BATCH_SIZES = 50


@dataclass(frozen=True)
class ExportConfig:
    """Settings of one export; the defaults suit a catalogue of thousands on a small machine.

    Attributes:
        version: the integer that all three models of the pair share on the server.
        k_max: length of a recommendation list; cut to the size of the catalogue.
        variants: TFLite files to make of each tower; `float32` is the reference and must be there.
        batch_sizes: sizes to which the server pads a batch; the last is the most rows of a request.
        batch_timeout_us: how long an open batch waits for more requests.
        max_enqueued_batches: length of the server's queue; beyond it requests are refused.
        gate_users: held-out users on which rankings are compared.
        gate_texts: item texts on which embeddings are compared.
        parity_texts: item texts sent through the written SavedModels.
        parity_users: held-out histories sent through the written SavedModels.
        parity_error: largest absolute difference of a written signature to the trainer's towers.
        parity_cosine: smallest cosine of tastes of a written signature, and of float32, to those
            towers.
        variant_cosine_mean: smallest mean cosine of tastes of a TFLite variant to those towers.
        variant_cosine_min: the same on any single input.
        variant_overlap_at_10: smallest share of the float top ten that a variant keeps.
        variant_recall_ratio: smallest share of float's Recall@10 that a variant keeps; a shortfall
            within the noise of the users compared is forgiven.
        jobs: TFLite conversions that run at the same time, one thread each.
        seed: picks the users and texts of the gates.
        data_licence: a sentence for the model card; "" says that none was stated.
        encoder_licence: the same for the pretrained encoder.
    """

    version: int = 1
    k_max: int = 100
    variants: tuple[str, ...] = VARIANTS
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    batch_timeout_us: int = 1_000
    max_enqueued_batches: int = 64
    gate_users: int = 500
    gate_texts: int = 1_000
    parity_texts: int = 128
    parity_users: int = 64
    parity_error: float = 1e-4
    parity_cosine: float = 0.9999
    variant_cosine_mean: float = 0.985
    variant_cosine_min: float = 0.9
    variant_overlap_at_10: float = 0.8
    variant_recall_ratio: float = 0.97
    jobs: int = 2
    seed: int = 0
    data_licence: str = ""
    encoder_licence: str = ""

    def __post_init__(self) -> None:
        for name in (
            "version", "k_max", "max_enqueued_batches", "gate_users", "gate_texts",
            "parity_texts", "parity_users", "jobs",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.batch_timeout_us < 0:
            raise ValueError(f"batch_timeout_us must not be negative, got {self.batch_timeout_us}")
        unknown = [name for name in self.variants if name not in VARIANTS]
        if unknown or len(set(self.variants)) < len(self.variants):
            raise ValueError(
                f"variants must be distinct names of {', '.join(VARIANTS)}; "
                f"got {', '.join(self.variants)}"
            )
        if "float32" not in self.variants:
            given = ", ".join(self.variants) or "none"
            raise ValueError(f"variants must hold float32, the reference; got {given}")
        sizes = self.batch_sizes
        if not sizes or sizes[0] < 1 or list(sizes) != sorted(set(sizes)):
            raise ValueError(f"batch_sizes must rise from 1 or more, got {list(sizes)}")
        if len(sizes) > _MAX_BATCH_SIZES:
            raise ValueError(
                f"batch_sizes holds {len(sizes)} sizes, at most {_MAX_BATCH_SIZES} can be warmed up"
            )
        if self.parity_error <= 0:
            raise ValueError(f"parity_error must be above 0, got {self.parity_error}")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in 0..1, got {getattr(self, name)}")
