"""The process that `in_process` starts: runs one SavedModel signature on one device.

Reads a job as JSON from stdin, writes raw nanoseconds as `sent_<rows>` and `done_<rows>` to the
job's .npz file, and one line of JSON about the devices to stdout.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dualtower_benchmarks.closed_loop import run_closed_loop
from dualtower_benchmarks.samples import OK

__all__ = ["main"]


class _Signature:
    """A concrete function with texts to feed; an answer counts when it is back in host memory."""

    def __init__(self, function: Callable[..., Any], texts: Sequence[Any]) -> None:
        self._function, self._texts = function, texts

    def call(self, index: int) -> str:
        self._function(text=self._texts[index % len(self._texts)])["embedding"].numpy()
        return OK


def main() -> None:
    """Reads a job on stdin, measures it, and writes what it found to stdout."""
    job = json.load(sys.stdin)
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers the tokeniser's ops

    # as `dualtower serve` starts a server: a bundle's layers come in shards, one thread each
    tf.config.threading.set_intra_op_parallelism_threads(1)
    gpus = tf.config.list_physical_devices("GPU")
    if job["device"] == "CPU":
        tf.config.set_visible_devices([], "GPU")
    model = tf.saved_model.load(job["saved_model"])
    function = model.signatures[job["signature"]]
    raw: dict[str, np.ndarray[Any, Any]] = {}
    placed: set[str] = set()
    for batch_rows, texts in job["batches"].items():
        tensors = [tf.constant(block) for block in texts]
        placed.add(function(text=tensors[0])["embedding"].device.rpartition("device:")[2])
        samples = run_closed_loop(
            [_Signature(function, tensors)],
            duration_s=job["duration_s"],
            warmup_s=job["warmup_s"],
        )
        raw[f"sent_{batch_rows}"], raw[f"done_{batch_rows}"] = samples.sent_ns, samples.done_ns
    if any(not name.startswith(job["device"]) for name in placed):
        raise SystemExit(f"asked for the {job['device']}, the answer was computed on {placed}")
    np.savez(job["out"], **raw)  # type: ignore[arg-type]
    facts = {
        "gpus": [tf.config.experimental.get_device_details(gpu).get("device_name") for gpu in gpus],
        "placed_on": sorted(placed),
        "tensorflow_version": tf.__version__,
        "built_with_cuda": tf.test.is_built_with_cuda(),
    }
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
