"""One gate's answer. A gate that does not pass stops the export before anything is published."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Gate", "failures"]


@dataclass(frozen=True)
class Gate:
    """What was demanded, and what was found.

    Attributes:
        name: `what` or `what/part`, e.g. `parity/user_tower.from_item_ids`.
        passed: whether the bundle may be published as far as this gate is concerned.
        value: the number found; None where it is no number.
        threshold: the number demanded; None where it is no number.
        detail: one sentence.
    """

    name: str
    passed: bool
    value: float | None
    threshold: float | None
    detail: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def failures(gates: Iterable[Gate]) -> list[str]:
    """A line for each gate that did not pass."""
    return [f"{gate.name}: {gate.detail}" for gate in gates if not gate.passed]
