"""The process that drives one kind of unit as hard as it can, a turn a line. See `peaks`.

It speaks lines of JSON as `peer` says. The job names `kind`, `threads` and sizes; each further line
is answered by `{"per_s": …}`: floating-point operations, or bytes, a second in that turn.

    numpy_float32        square product by numpy's BLAS
    tensorflow_float32   the same in TensorFlow, on the device of the job
    tensorflow_bfloat16  likewise
    memory               a = b + c over arrays far larger than the caches, a slice a thread

The threads of numpy and TensorFlow are set by the environment, before either is imported.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

__all__ = ["main"]

_SECONDS = 0.2  # of a turn, at least
_ARRAYS = 3  # that the sum of two arrays touches: two read, one written


def main() -> None:
    """Serves the protocol until the standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print
    job = json.loads(sys.stdin.readline())
    call, work, facts = _prepared(job)
    call()  # touches memory, chooses kernels
    _say(answers, {"work_per_call": work, **facts})
    for _ in sys.stdin:
        _say(answers, {"per_s": _turn(call, work)})


def _turn(call: Callable[[], Any], work: float) -> float:
    calls, begin_ns, elapsed_ns = 0, time.perf_counter_ns(), 0
    while elapsed_ns < _SECONDS * 1e9:
        call()
        calls += 1
        elapsed_ns = time.perf_counter_ns() - begin_ns
    return calls * work / (elapsed_ns / 1e9)


def _prepared(job: dict[str, Any]) -> tuple[Callable[[], Any], float, dict[str, Any]]:
    if job["kind"] == "memory":
        return _memory(job["array_bytes"], job["threads"])
    size = job["matrix_size"]
    work = 2.0 * size**3
    if job["kind"] == "numpy_float32":
        random = np.random.default_rng(0)
        left, right = (random.random((size, size), dtype=np.float32) for _ in range(2))
        out = np.empty_like(left)
        return lambda: np.matmul(left, right, out=out), work, {"version": np.__version__}
    return _tensorflow(job, size, work)


def _tensorflow(
    job: dict[str, Any], size: int, work: float
) -> tuple[Callable[[], Any], float, dict[str, Any]]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    device = job.get("device", "CPU")
    if device == "CPU":
        tf.config.set_visible_devices([], "GPU")
    dtype = tf.bfloat16 if job["kind"].endswith("bfloat16") else tf.float32
    with tf.device(f"/{device}:0"):
        left, right = (tf.cast(tf.random.uniform([size, size]), dtype) for _ in range(2))

    @tf.function(autograph=False)
    def product() -> Any:
        # one number comes back, so that a card has finished when the call has
        return tf.matmul(left, right)[0, 0]

    return lambda: product().numpy(), work, {"version": tf.__version__, "device": device}


def _memory(array_bytes: int, threads: int) -> tuple[Callable[[], Any], float, dict[str, Any]]:
    count = array_bytes // 4
    left, right, out = (np.ones(count, np.float32) for _ in range(_ARRAYS))
    step = math.ceil(count / threads)
    slices = [slice(start, start + step) for start in range(0, count, step)]
    pool = ThreadPoolExecutor(threads)

    def add(part: slice) -> None:
        np.add(left[part], right[part], out=out[part])  # leaves Python while it runs

    work = float(_ARRAYS * count * 4)
    return lambda: list(pool.map(add, slices)), work, {"version": np.__version__}


def _say(stream: Any, answer: dict[str, Any]) -> None:
    stream.write(json.dumps(answer) + "\n")
    stream.flush()


if __name__ == "__main__":
    main()
