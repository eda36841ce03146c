"""A job that makes one TFLite file and runs it, and how any job of `edge_jobs` runs and ends.

JOB is a JSON file with the fields of `Job`; `edge_jobs` runs it, by hand it is `python -m
dualtower_export.edge_worker JOB`. The process of a job ends by itself when its parent does, so that
a killed export leaves no orphan behind.
"""

from __future__ import annotations

import errno
import json
import os
import select
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    from dualtower_export.edge_source import EdgeSource

__all__ = ["NO_SPACE", "Job", "do_work", "embed", "end_when_closed", "run_worker", "work"]

NO_SPACE = 28  # exit code


@dataclass(frozen=True)
class Job:
    """What one worker does.

    Attributes:
        run: the trained run.
        tower: "item_tower" or "user_tower".
        variant: one of `config.VARIANTS`.
        tokens: length of the item tower's input, 0 for any; 0 for a user tower.
        steps: of a recipe that trains.
        seed: of everything random.
        calibration: npz of `EdgeSource.calibration`.
        inputs: npz of the same form, on which the file is run.
        tflite: where the file goes.
        embeddings: npy of float32 [examples, dim], what the file says to the inputs.
    """

    module: ClassVar[str] = "dualtower_export.edge_worker"
    forked: ClassVar[bool] = True

    run: str
    tower: str
    variant: str
    tokens: int
    steps: int
    seed: int
    calibration: str
    inputs: str
    tflite: str
    embeddings: str

    @property
    def name(self) -> str:
        return Path(self.tflite).stem

    @property
    def output(self) -> str:
        return self.tflite

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def embed(tflite: Path, source: EdgeSource) -> np.ndarray:
    """What a TFLite file says to each row of the inputs of a source, float32 [rows, dim]."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(tflite), num_threads=1).get_signature_runner()
    return np.stack([runner(**request)["embedding"][0] for request in source.requests()])


def run_worker(work: Callable[[str], None]) -> None:
    """Does the `work` of the job whose file is the first argument of this process.

    The parent holds the other end of stdin open as long as it lives.
    """
    end_when_closed(sys.stdin.fileno())
    do_work(work, sys.argv[1])


def do_work(work: Callable[[str], None], request: str) -> None:
    """Does the `work` of a request's file; a full disk has an exit code of its own."""
    try:
        work(Path(request).read_text(encoding="utf-8"))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            sys.exit(NO_SPACE)
        raise


def work(request: str) -> None:
    """Does what a `Job` in JSON says."""
    job = Job(**json.loads(request))
    from dualtower_export.edge_recipes import RECIPES
    from dualtower_export.edge_source import EdgeSource
    from dualtower_trainer.checkpoint import load_trained

    source = EdgeSource(
        trained=load_trained(Path(job.run)),
        tower=job.tower,
        calibration=_arrays(job.calibration),
        tokens=job.tokens,
        steps=job.steps,
        seed=job.seed,
    )
    Path(job.tflite).write_bytes(RECIPES[job.variant](source))
    asked = replace(source, calibration=_arrays(job.inputs))
    np.save(job.embeddings, embed(Path(job.tflite), asked))


def _arrays(path: str) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return dict(arrays)


def end_when_closed(pipe: int) -> None:
    """Ends this process as soon as nobody holds the other end of a pipe; nothing of it is read."""

    def watch() -> None:
        hang_up = select.poll()
        hang_up.register(pipe, 0)
        hang_up.poll()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    run_worker(work)
