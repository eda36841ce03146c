"""What a run comes to, for whoever called it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BulkReport"]


@dataclass(frozen=True)
class BulkReport:
    """A run that is complete.

    Attributes:
        out: the folder of the shards.
        model, fingerprint, dim: whose vectors they are, and in which space.
        versions: of the model, that answered.
        rows: embedded, of all shards.
        quarantined: rows that were put aside, by reason.
        shards: how many.
        resumed_rows: of the input, that an earlier run had completed.
        elapsed_s: of this run.
        rows_per_s: that this run embedded, 0 where it had nothing left to do.
    """

    out: Path
    model: str
    fingerprint: str
    dim: int
    versions: tuple[int, ...]
    rows: int
    quarantined: Mapping[str, int]
    shards: int
    resumed_rows: int
    elapsed_s: float
    rows_per_s: float
