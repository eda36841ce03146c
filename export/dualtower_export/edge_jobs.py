"""Runs jobs, each in its own process and a few at a time, and says what went wrong in a failed one.

What converts is a fork of a process that has TensorFlow imported (`edge_forks`); what measures a
file is a process from nothing, so that its memory is the file's.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, Protocol

from dualtower.errors import UnavailableError
from dualtower.progress import bar
from dualtower_export.edge_forks import Forks
from dualtower_export.edge_worker import NO_SPACE

__all__ = ["WorkerJob", "conversion_forks", "run_jobs"]

_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",  # a conversion needs no GPU, and must not fill its memory
}
_TAIL_CHARACTERS = 2000


class WorkerJob(Protocol):
    """What a process of its own does, by a file that holds its JSON.

    Attributes:
        module: a program, run as `python -m MODULE FILE`; of a fork its function `work`.
        forked: which of the two.
        name: for messages; no two jobs of a call share it.
        output: a file that it writes.
    """

    module: ClassVar[str]
    forked: ClassVar[bool]

    @property
    def name(self) -> str: ...

    @property
    def output(self) -> str: ...

    def to_json(self) -> str: ...


def conversion_forks(scratch: Path) -> Forks:
    """Where conversions run. The calls of `run_jobs` of an export share it: one import for all."""
    return Forks(scratch, _ONE_THREAD)


def run_jobs(
    jobs: Sequence[WorkerJob], scratch: Path, *, at_once: int, forks: Forks | None = None
) -> None:
    """Runs all jobs; returns when every one has written its files.

    Args:
        jobs: what to do.
        scratch: a folder for requests and for what the jobs say.
        at_once: how many run at the same time.
        forks: where forked jobs run.

    Raises:
        UnavailableError: a worker failed, with the end of what it said.
        OSError: no space is left.
    """
    pool = ThreadPoolExecutor(at_once)
    try:
        with bar("TFLite files", len(jobs)) as moving:
            for job in [pool.submit(_run, job, scratch, forks) for job in jobs]:
                job.result()
                moving.advance()
    finally:
        pool.shutdown(cancel_futures=True)  # after a failure, no further worker starts


def _run(job: WorkerJob, scratch: Path, forks: Forks | None) -> None:
    name = job.name
    request, log = scratch / f"{name}.json", scratch / f"{name}.log"
    request.write_text(job.to_json(), encoding="utf-8")
    if not job.forked:
        code = _run_program(job.module, request, log)
    elif forks is None:
        raise ValueError(f"{name} is a forked job, and no forks were given to run it")
    else:
        log.touch()  # on a full disk it fails here, where it is told
        code = forks.run(job.module, request, log)
    if code == NO_SPACE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), job.output)
    if code == -signal.SIGKILL:
        raise UnavailableError(
            f"the conversion of {name} was killed, most likely for want of memory; "
            "run again with --set export.jobs=1, or on a machine with more"
        )
    if code:
        said = log.read_text(encoding="utf-8", errors="replace")[-_TAIL_CHARACTERS:].strip()
        raise UnavailableError(f"the conversion of {name} ended with code {code}:\n{said}")


def _run_program(module: str, request: Path, log: Path) -> int:
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(request)],
            stdin=subprocess.PIPE,  # held open: the worker ends when it closes
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, **_ONE_THREAD},
        )
        try:
            return process.wait()
        finally:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
