"""One form of the encoder's graph in a process of its own. See `speed` and `peer`.

The graph goes through a SavedModel and a session, fed and fetched by tensor name, as in TensorFlow
Serving.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["main"]


def main() -> None:
    """Reads the job, then runs the graph as it is asked to."""
    job = json.loads(sys.stdin.readline())
    os.environ.update(job["environment"])
    from dualtower_trainer.quiet_tensorflow import import_tensorflow

    import_tensorflow()
    import tensorflow as tf

    with np.load(job["inputs"]) as arrays:
        inputs = {
            name.removesuffix("/ids"): (arrays[name], arrays[name.replace("/ids", "/mask")])
            for name in arrays
            if name.endswith("/ids")
        }
    with tempfile.TemporaryDirectory(prefix="dualtower-bench-") as folder:
        file_bytes = _write(job, folder)
        call = _load(folder, job["threads"], job["op_threads"])
    for name in job["order"]:  # the first call chooses oneDNN's layouts, as in a warm-up file
        for _ in range(3):
            call(*inputs[name])
    check = call(*inputs["check"])
    _answer(
        {
            "ready": f"tensorflow {tf.__version__}",
            "file_bytes": file_bytes,
            "check": np.asarray(check).tolist(),
        }
    )
    for line in sys.stdin:
        asked = json.loads(line)
        _answer(timed(call, inputs[asked["input"]], asked["calls"]))


def timed(
    call: Callable[..., Any], arrays: tuple[np.ndarray, np.ndarray], calls: int
) -> dict[str, list[float]]:
    """Wall and CPU seconds of each call."""
    wall, cpu = [], []
    for _ in range(calls):
        cpu_ns, wall_ns = time.process_time_ns(), time.perf_counter_ns()
        call(*arrays)
        wall.append((time.perf_counter_ns() - wall_ns) / 1e9)
        cpu.append((time.process_time_ns() - cpu_ns) / 1e9)
    return {"wall_s": wall, "cpu_s": cpu}


def _write(job: dict[str, Any], folder: str) -> int:
    """Writes the SavedModel; returns its size."""
    import tensorflow as tf

    from dualtower_benchmarks.graph.forms import FORMS, build_form
    from dualtower_trainer.encoder import Encoder

    (form,) = (form for form in FORMS if form.name == job["form"])
    encoder = Encoder.load(job["folder"], job["tokens"])
    encode, variables = build_form(form, encoder.config, encoder.tensors)
    module = tf.Module()
    module.weights = variables
    module.pooled = tf.function(
        lambda ids, mask: {"pooled": encode(ids, mask)},
        input_signature=[tf.TensorSpec([None, None], tf.int32, name) for name in ("ids", "mask")],
        autograph=False,
    )
    tf.saved_model.save(module, folder, signatures=module.pooled)
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def _load(folder: str, threads: int, op_threads: int) -> Callable[..., np.ndarray]:
    import tensorflow as tf

    graph = tf.Graph()
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=op_threads, inter_op_parallelism_threads=threads
    )
    session = tf.compat.v1.Session(graph=graph, config=config)
    with graph.as_default():
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], folder)
    signature = loaded.signature_def["serving_default"]
    feeds = [signature.inputs[name].name for name in ("ids", "mask")]
    call: Callable[..., np.ndarray] = session.make_callable(
        signature.outputs["pooled"].name, feed_list=feeds
    )
    return call


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
