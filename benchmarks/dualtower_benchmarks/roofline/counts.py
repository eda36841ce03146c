"""What a query of a bundle's model takes, counted in a process of its own.

The texts are those that a run of a scenario sends: the first requests of its workload, at least
`FEWEST_ROWS` rows of them.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dualtower.bundle import Bundle
from dualtower.errors import UnavailableError
from dualtower_benchmarks.load.workload import DISTINCT_REQUESTS, SIGNATURE
from dualtower_benchmarks.peer import Peer
from dualtower_benchmarks.roofline.requests_file import write_requests

__all__ = ["FEWEST_ROWS", "Counting", "counting"]

FEWEST_ROWS = 64
_FEWEST_CALLS = 2


class Counting:
    """A model of a bundle, ready to be counted."""

    def __init__(self, peer: Peer, model: str) -> None:
        self._peer, self._model = peer, model

    def count(self, requests: Sequence[bytes], batch_rows: int) -> dict[str, Any]:
        """FLOPs and bytes per row over the first of these requests.

        Returns:
            `flops_per_row`, `bytes_per_row`, `least_bytes_per_row`, `intensity`, … as
            `GraphCount.as_json` has them.

        Raises:
            UnavailableError: the model cannot be run on them.
        """
        calls = max(_FEWEST_CALLS, math.ceil(FEWEST_ROWS / batch_rows))
        with tempfile.TemporaryDirectory(prefix="dualtower-roofline-") as folder:
            path = Path(folder, "requests")
            write_requests(path, requests[: min(calls, DISTINCT_REQUESTS)])
            return _good(self._model, self._peer.ask({"requests": str(path)}))


@contextmanager
def counting(bundle: Bundle, model: str) -> Iterator[Counting]:
    """Loads a model of the bundle in a process of its own, which ends with the block."""
    path = bundle.model_path(model) / str(bundle.version)
    command = [sys.executable, "-m", "dualtower_benchmarks.roofline.count_worker"]
    job = {"path": str(path), "signature": SIGNATURE}
    with Peer(f"the count of {model}", command, job) as peer:
        _good(model, peer.facts)
        yield Counting(peer, model)


def _good(model: str, answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise UnavailableError(f"{model} cannot be counted: {answer['error']}")
    return answer
