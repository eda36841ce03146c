"""A driver in a process of its own, as whoever orders load sees it.

Load comes from another process than the one that draws progress and keeps results: what that one
does cannot hold up a schedule. What TensorFlow decides on its first import (devices, threads, XLA)
is decided anew for each process.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dualtower import errors
from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.load.load import Load
from dualtower_benchmarks.load.run import LoadRun
from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.peer import Peer

__all__ = ["LoadProcess", "ProcessInTurn"]

_KINDS: dict[str, Callable[[str], errors.DualtowerError]] = {
    "NotHere": NotHere,
    "UsageError": errors.UsageError,
    "BundleError": errors.BundleError,
    "BundleMismatch": errors.BundleError,  # whose parts are in its words already
}


class LoadProcess:
    """Opens a driver and runs loads on it; use it in a `with`.

    Args:
        job: what `drivers.opening.open_driver` takes: `driver`, and what that driver needs.
        environment: further variables of the process.

    Raises:
        DualtowerError: the driver cannot be opened; its own words.

    Example:
        with LoadProcess({"driver": "grpc", "address": "localhost:8500", …}) as process:
            process.run(Load(rate_qps=100.0)).samples.latency_ns
    """

    def __init__(
        self, job: Mapping[str, Any], *, environment: Mapping[str, str] | None = None
    ) -> None:
        command = [sys.executable, "-m", "dualtower_benchmarks.load.worker"]
        self._peer = Peer(
            f"the load on {job['driver']}", command, job, environment=environment or {}
        )
        try:
            self.facts: dict[str, Any] = _good(self._peer.facts)
        except BaseException:
            self._peer.__exit__(None, None, None)
            raise

    @property
    def pid(self) -> int:
        """Of the process that generates the load."""
        return self._peer.pid

    def run(self, load: Load) -> LoadRun:
        """Runs one load.

        Raises:
            DualtowerError: it cannot be, such as a trace that cannot be read.
            UnavailableError: the process ended.
        """
        with tempfile.TemporaryDirectory(prefix="dualtower-load-") as folder:
            out = Path(folder, "samples.npz")
            answer = _good(self._peer.ask({"load": load.as_json(), "out": str(out)}))
            self.facts = answer["facts"]
            with np.load(out) as raw:
                samples = Samples(raw["due_ns"], raw["sent_ns"], raw["done_ns"], raw["status"])
        return LoadRun(samples, answer["scheduling"])

    def open(self, job: Mapping[str, Any]) -> None:
        """Closes the driver, and opens that of another job in its place.

        Raises:
            DualtowerError: it cannot be opened; its own words. The process goes on without one.
        """
        self.facts = _good(self._peer.ask(job))

    def ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Sends another order than a load, such as a run of LoadGen; the worker's answer.

        Raises:
            DualtowerError: it cannot be carried out; the worker's own words.
            UnavailableError: the process ended.
        """
        answer = _good(self._peer.ask(order))
        self.facts = answer["facts"]
        return answer

    def __enter__(self) -> LoadProcess:
        return self

    def __exit__(self, *reason: Any) -> None:
        self._peer.__exit__(*reason)


class ProcessInTurn:
    """One process for jobs that one after the other may use, started by the first of them."""

    def __init__(self) -> None:
        self._process: LoadProcess | None = None

    def open(self, job: Mapping[str, Any]) -> LoadProcess:
        """The process with the job's driver.

        Raises:
            DualtowerError: the driver cannot be opened; its own words.
        """
        if self._process is None:
            self._process = LoadProcess(job)
        else:
            self._process.open(job)
        return self._process

    def __enter__(self) -> ProcessInTurn:
        return self

    def __exit__(self, *reason: Any) -> None:
        if self._process is not None:
            self._process.__exit__(*reason)


def _good(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise _KINDS.get(answer["kind"], errors.UnavailableError)(answer["error"])
    return answer
