"""What a fake server was asked, for assertions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

__all__ = ["Call"]


@dataclass(frozen=True)
class Call:
    """One call, as it came; also one that was refused or delayed.

    Attributes:
        method: "Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata",
            "GetModelStatus", "HandleReloadConfigRequest" or "Check" (of health).
        model: that was asked for, "" where none was.
        signature: that was asked for.
        version, label: that were asked for.
        inputs: arrays by alias, of Predict; strings are bytes.
        metadata: what the client sent along.
        timeout_s: what was left of its time, rounded up a little by gRPC; None for no deadline.
    """

    method: str
    model: str = ""
    signature: str = ""
    version: int | None = None
    label: str | None = None
    inputs: Mapping[str, NDArray[Any]] | None = None
    metadata: Mapping[str, str | bytes] | None = None
    timeout_s: float | None = None
