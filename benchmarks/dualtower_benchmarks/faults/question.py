"""The question that most loads ask: its answer shows by itself whether it is right."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from dualtower.errors import UnavailableError
from dualtower_benchmarks.faults.kinds import Question, Stage
from dualtower_benchmarks.faults.server_worker import MODEL

__all__ = ["SUM", "answers_again", "until"]

_LIMIT_S = 30.0
_POLL_S = 0.02


def _ask(client: Any, number: int, timeout_s: float) -> Any:
    return client.predict(MODEL, {"x": np.array([number], np.int64)}, timeout_s=timeout_s)


def _is_right(answer: Any, number: int) -> bool:
    return bool(answer.outputs["y"].tolist() == [number + answer.version])


SUM = Question(_ask, _is_right)


def until(what: str, holds: Callable[[], bool]) -> None:
    """Waits for a part of a fault to come about.

    Raises:
        UnavailableError: it does not.
    """
    deadline_s = time.monotonic() + _LIMIT_S
    while not holds():
        if time.monotonic() > deadline_s:
            raise UnavailableError(f"{what}: not within {_LIMIT_S:g} s")
        time.sleep(_POLL_S)


def answers_again(stage: Stage, calls: int = 5) -> None:
    """Waits until so many more calls were answered."""
    enough = len(stage.tally.answered_ns) + calls
    until("answers after the fault", lambda: len(stage.tally.answered_ns) >= enough)
