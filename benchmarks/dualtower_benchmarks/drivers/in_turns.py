"""Several connections as one target: requests take turns on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dualtower_benchmarks.drivers.driver import Target

__all__ = ["InTurns"]


class InTurns:
    """Request `index` goes to connection `index % len(targets)`."""

    def __init__(self, targets: Sequence[Target]) -> None:
        if not targets:
            raise ValueError("there is no connection to take turns on")
        self._targets = targets

    def call(self, index: int) -> str:
        return self._of(index).call(index)

    def send(self, index: int, done: Callable[[str], None]) -> None:
        self._of(index).send(index, done)

    def _of(self, index: int) -> Target:
        return self._targets[index % len(self._targets)]
