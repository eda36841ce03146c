"""A process that makes one TFLite file and runs it: `python -m dualtower_export.edge_worker JOB`.

JOB is a JSON file with the fields of `Job`. The process ends by itself when its parent does, so
that a killed export leaves no orphan behind.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

__all__ = ["NO_SPACE", "Job", "embed", "run_worker"]

NO_SPACE = 28  # exit code


@dataclass(frozen=True)
class Job:
    """What one worker does.

    Attributes:
        run: the trained run.
        tower: "item_tower" or "user_tower".
        variant: one of `config.VARIANTS`.
        inputs: npz with one row an example: `ids` and `mask`; or `rows` and `mask` with `vectors`.
        tflite: where the file goes.
        embeddings: npy of float32 [examples, dim], what the file says to the inputs.
    """

    module: ClassVar[str] = "dualtower_export.edge_worker"

    run: str
    tower: str
    variant: str
    inputs: str
    tflite: str
    embeddings: str

    @property
    def name(self) -> str:
        return f"{self.tower}.{self.variant}"

    @property
    def output(self) -> str:
        return self.tflite

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def embed(tflite: Path, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """What a TFLite file says to each row of its inputs, float32 [rows, dim].

    Args:
        tflite: the file.
        inputs: arrays [rows, ...]. `rows` int32 [rows, history_items] and `vectors` stand for
            `items`, which would be many times larger.
    """
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(tflite), num_threads=1).get_signature_runner()
    vectors = inputs.pop("vectors", None)
    found = []
    for row in range(len(inputs["mask"])):
        example = {name: value[row : row + 1] for name, value in inputs.items()}
        if vectors is not None:
            items = vectors[example.pop("rows")].astype(np.float32)
            example["items"] = items * example["mask"][..., None]
        found.append(runner(**example)["embedding"][0])
    return np.stack(found)


def run_worker(work: Callable[[str], None]) -> None:
    """Does the `work` of the job whose file is the first argument of this process."""
    _end_with_parent()
    try:
        work(Path(sys.argv[1]).read_text(encoding="utf-8"))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            sys.exit(NO_SPACE)
        raise


def _main(request: str) -> None:
    job = Job(**json.loads(request))
    from dualtower_export.edge_convert import convert
    from dualtower_trainer.checkpoint import load_trained

    content = convert(load_trained(Path(job.run)), job.tower, job.variant)
    Path(job.tflite).write_bytes(content)
    with np.load(job.inputs) as inputs:
        np.save(job.embeddings, embed(Path(job.tflite), dict(inputs)))


def _end_with_parent() -> None:
    """The parent holds the other end of stdin open as long as it lives."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):  # unbuffered, so that no lock is held at exit
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    run_worker(_main)
