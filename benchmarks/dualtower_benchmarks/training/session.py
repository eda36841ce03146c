"""All training that a scenario asks for, one measurement after the other. No bundle is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dualtower.progress import Bar
from dualtower_benchmarks.scenario.expected import load_s
from dualtower_benchmarks.scenario.part import Place
from dualtower_benchmarks.training.case import ENCODER, TrainingCase
from dualtower_benchmarks.training.speed import (
    REFERENCE,
    REFERENCE_PYTHON,
    measured,
    reference_python,
)

__all__ = ["TrainingSession"]


@dataclass
class TrainingSession:
    """The training of a scenario.

    Args:
        rows: an engine of a case each, of every repeat.
        absent: cases without the reference, by key.
    """

    cases: Sequence[TrainingCase]
    place: Place
    rows: list[dict[str, Any]] = field(default_factory=list)
    servers: list[dict[str, Any]] = field(default_factory=list)
    absent: dict[str, dict[str, Any]] = field(default_factory=dict)

    def repeat(self, repeat: int, progress: Bar) -> None:
        """Measures every case once."""
        python = reference_python()
        for case in self.cases:
            if python is None and case.what == ENCODER:
                reason = (
                    f"{REFERENCE} is not installed here, and {REFERENCE_PYTHON} names no Python "
                    "that has it"
                )
                self.absent[case.key] = {**case.as_json(), "engine": REFERENCE, "reason": reason}
            kept = self.place.store.read(repeat, case.key)
            if kept is None:
                facts = {"key": case.key, "repeat": repeat, **case.as_json()}
                with self.place.pace.around(repeat, case.key):
                    kept = [{**facts, **row} for row in measured(case, python)], []
                self.place.store.write(repeat, case.key, *kept)
                progress.advance(load_s(case), note=case.words)
            else:
                progress.skip(load_s(case))
            self.rows += kept[0]

    def document(self) -> dict[str, Any]:
        """What goes into the results as `training`."""
        return {"rows": self.rows, "absent": list(self.absent.values())}
