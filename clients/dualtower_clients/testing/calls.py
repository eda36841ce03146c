"""What a fake server was asked, for assertions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from dualtower.errors import UsageError

__all__ = ["Call"]


@dataclass(frozen=True)
class Call:
    """One call, as it came; also one that was refused or delayed.

    Attributes:
        method: "Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata",
            "GetModelStatus", "HandleReloadConfigRequest"; "Check" or "Watch" of health.
        model: that was asked for, "" where none was.
        signature: that was asked for.
        version, label: that were asked for.
        inputs: arrays by alias, of Predict; strings are bytes.
        metadata: what the client sent along.
        timeout_s: what was left of its time, rounded up a little by gRPC; None for no deadline.
        request: the message as it came; the classes of `dualtower_clients.proto` read it.
    """

    method: str
    model: str = ""
    signature: str = ""
    version: int | None = None
    label: str | None = None
    inputs: Mapping[str, NDArray[Any]] | None = None
    metadata: Mapping[str, str | bytes] | None = None
    timeout_s: float | None = None
    request: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        return " ".join(filter(None, (self.method, self.model, self.signature)))

    def texts(self, alias: str) -> list[Any]:
        """An input of strings as `str`, in lists as the array is; "" that fills a row is left out.

        Raises:
            UsageError: there is no such input.
        """
        if alias not in (self.inputs or {}):
            there = ", ".join(self.inputs or ()) or "none"
            raise UsageError(f"the call has no input {alias!r}, only {there}")
        return [_text(entry) for entry in (self.inputs or {})[alias].tolist()]


def _text(entry: Any) -> Any:
    if isinstance(entry, list):
        return [_text(one) for one in entry if one != b""]
    return entry.decode("utf-8", "replace") if isinstance(entry, bytes) else entry
