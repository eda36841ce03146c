"""What each TFLite file costs a phone's app: time, memory, and what XNNPACK takes over.

Every number comes from a process of its own that imports no TensorFlow. Times are taken when
nothing else of an export runs; memory and ops do not mind company.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dualtower_export.edge_delegation import Delegation
from dualtower_export.edge_jobs import run_jobs
from dualtower_export.edge_memory import MemoryJob
from dualtower_export.edge_source import requests_of
from dualtower_export.edge_timing import Timing, TimingJob, read_timings

__all__ = ["Probe", "probe_tower"]

_TIMED_REQUESTS = 16


@dataclass(frozen=True)
class Probe:
    """Of one file."""

    timings: list[Timing]
    delegation: Delegation
    peak_memory_bytes: int


def probe_tower(
    tower: str,
    files: Mapping[str, Path],
    tokens: Mapping[str, int],
    asked: Path,
    scratch: Path,
    *,
    at_once: int,
) -> dict[str, Probe]:
    """Probes the files of one tower.

    Args:
        tower: "item_tower" or "user_tower".
        files: by variant; `float32` is there.
        tokens: length of the input by variant; see `requests_of`.
        asked: npz of `requests_of`; a few rows of it are used.
        scratch: a folder for what the processes say.
        at_once: processes that run at the same time where no time is taken.
    """
    with np.load(asked) as arrays:
        few = {
            name: value if name == "vectors" else value[:_TIMED_REQUESTS]
            for name, value in arrays.items()
        }
    inputs = scratch / f"{tower}.timed.npz"
    np.savez(inputs, **few)  # type: ignore[arg-type]
    jobs = []
    for variant, path in files.items():
        request = scratch / f"{tower}.{variant}.request.npz"
        np.savez(request, **next(requests_of(tower, few, tokens[variant])))  # type: ignore[arg-type]
        answer = scratch / f"{tower}.{variant}.memory.answer.json"
        jobs.append(MemoryJob(str(path), str(request), str(answer)))
    run_jobs(jobs, scratch, at_once=at_once)
    timing = TimingJob(
        tower=tower,
        files={variant: str(path) for variant, path in files.items()},
        tokens=dict(tokens),
        inputs=str(inputs),
        answer=str(scratch / f"{tower}.timing.answer.json"),
    )
    run_jobs([timing], scratch, at_once=1)
    timings = read_timings(Path(timing.answer))
    probes = {}
    for variant, job in zip(files, jobs, strict=True):
        said = json.loads(Path(job.answer).read_text(encoding="utf-8"))
        memory = said.pop("peak_memory_bytes")
        probes[variant] = Probe(timings[variant], Delegation(**said), memory)
    return probes
