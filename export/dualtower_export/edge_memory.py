"""A process that loads one TFLite file, asks it once, and says what memory that took.

`python -m dualtower_export.edge_memory JOB`, run by `edge_jobs`. It imports LiteRT and numpy alone,
so that the highest resident memory is the file's, its weights' pages and its activations, beyond
that of an interpreter without a file.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from dualtower_export.edge_delegation import delegation_of
from dualtower_export.edge_worker import run_worker

__all__ = ["MemoryJob", "peak_resident_bytes"]

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class MemoryJob:
    """What one worker does.

    Attributes:
        tflite: the file.
        request: npz of its inputs, batch 1.
        answer: JSON of `peak_memory_bytes`, `ops`, `delegated_ops` and `partitions`.
    """

    module: ClassVar[str] = "dualtower_export.edge_memory"
    forked: ClassVar[bool] = False

    tflite: str
    request: str
    answer: str

    @property
    def name(self) -> str:
        return f"{Path(self.tflite).stem}.memory"

    @property
    def output(self) -> str:
        return self.answer

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def peak_resident_bytes() -> int:
    """The most memory that this process ever held, its own program's alone.

    `ru_maxrss`, which stands in without /proc, is no less than its parent held at its start.
    """
    if _STATUS.is_file():
        lines = _STATUS.read_text(encoding="ascii").splitlines()
        (line,) = [line for line in lines if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _main(request: str) -> None:
    job = MemoryJob(**json.loads(request))
    from ai_edge_litert.interpreter import Interpreter

    with np.load(job.request) as arrays:
        inputs = dict(arrays)
    bare_bytes = peak_resident_bytes()
    interpreter = Interpreter(model_path=job.tflite, num_threads=1)
    interpreter.get_signature_runner()(**inputs)
    answer = {"peak_memory_bytes": peak_resident_bytes() - bare_bytes}
    fresh = Interpreter(model_path=job.tflite, num_threads=1)
    fresh.allocate_tensors()
    answer |= asdict(delegation_of(fresh))
    Path(job.answer).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    run_worker(_main)
