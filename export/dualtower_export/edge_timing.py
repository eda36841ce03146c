"""A process that times the TFLite files of one tower, each in turns with its float32 file.

`python -m dualtower_export.edge_timing JOB`, run by `edge_jobs`. A machine's speed changes while
it is measured; calls that alternate share that, so their ratio holds where a time alone would not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dualtower_export.edge_source import requests_of
from dualtower_export.edge_worker import run_worker

__all__ = ["THREADS", "Timing", "TimingJob", "alternate", "read_timings"]

THREADS = (1, 2)
_CALLS, _LEAST_CALLS, _IN_A_ROW = 60, 12, 5
_MOST_S = 3.0
_REFERENCE = "float32"

Call = Callable[[], Any]


@dataclass(frozen=True)
class Timing:
    """Of one file with so many threads; calls of one row from inputs to embedding.

    Attributes:
        threads: of the interpreter.
        ms_p50: median.
        ms_p90: what nine of ten calls stay below.
        ratio: median over that of the float32 file in the same turns.
        calls: how many were timed.
    """

    threads: int
    ms_p50: float
    ms_p90: float
    ratio: float
    calls: int


@dataclass(frozen=True)
class TimingJob:
    """What one worker does.

    Attributes:
        tower: "item_tower" or "user_tower".
        files: path by name; `float32` is there.
        tokens: length of the input by name; see `requests_of`.
        inputs: npz of `requests_of`.
        answer: JSON of a list of `Timing` by name.
    """

    module: ClassVar[str] = "dualtower_export.edge_timing"
    forked: ClassVar[bool] = False

    tower: str
    files: Mapping[str, str]
    tokens: Mapping[str, int]
    inputs: str
    answer: str

    @property
    def name(self) -> str:
        return f"{self.tower}.timing"

    @property
    def output(self) -> str:
        return self.answer

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def read_timings(answer: Path) -> dict[str, list[Timing]]:
    """What a worker found, by name of the file."""
    found = json.loads(answer.read_text(encoding="utf-8"))
    return {name: [Timing(**one) for one in timings] for name, timings in found.items()}


def alternate(reference: Call, other: Call) -> tuple[np.ndarray, np.ndarray]:
    """Milliseconds of calls of both, a few in a row each in turns.

    The first of each row fetches what the other drove out of the caches, and does not count.
    """
    elapsed_ns: tuple[list[int], list[int]] = ([], [])
    begin_s = time.monotonic()
    while len(elapsed_ns[1]) < _CALLS and (
        len(elapsed_ns[1]) < _LEAST_CALLS or time.monotonic() - begin_s < _MOST_S
    ):
        for call, found in zip((reference, other), elapsed_ns, strict=True):
            call()
            for _ in range(_IN_A_ROW - 1):
                start_ns = time.perf_counter_ns()
                call()
                found.append(time.perf_counter_ns() - start_ns)
    return np.array(elapsed_ns[0]) / 1e6, np.array(elapsed_ns[1]) / 1e6


def _main(request: str) -> None:
    job = TimingJob(**json.loads(request))
    with np.load(job.inputs) as arrays:
        inputs = dict(arrays)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in job.files}
    for threads in THREADS:
        calls = {
            name: _caller(path, list(requests_of(job.tower, inputs, job.tokens[name])), threads)
            for name, path in job.files.items()
        }
        for name, call in calls.items():
            reference, own = alternate(calls[_REFERENCE], call)
            timing = Timing(
                threads=threads,
                ms_p50=float(np.median(own)),
                ms_p90=float(np.quantile(own, 0.9)),
                ratio=1.0 if name == _REFERENCE else float(np.median(own) / np.median(reference)),
                calls=len(own),
            )
            found[name].append(asdict(timing))
    Path(job.answer).write_text(json.dumps(found), encoding="utf-8")


def _caller(path: str, requests: Sequence[dict[str, np.ndarray]], threads: int) -> Call:
    """A call of the file with the next of the requests, over and over."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=path, num_threads=threads).get_signature_runner()
    runner(**requests[0])
    place = 0

    def call() -> None:
        nonlocal place
        runner(**requests[place % len(requests)])
        place += 1

    return call


if __name__ == "__main__":
    run_worker(_main)
