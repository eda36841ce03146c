"""The process that `speed` compares a server with: the same SavedModel, without a server.

Lines of JSON in, one out for each: first the job (`ready` comes back), then
`{"rows": n, "callers": n, "seconds": s}`, answered by the nanoseconds of the calls and the rows a
second. Each caller is a thread of its own; TensorFlow runs without Python's lock.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

__all__ = ["main"]


def main() -> None:
    """Serves turns until stdin ends."""
    job = json.loads(sys.stdin.readline())
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers the tokeniser's ops

    tf.config.threading.set_intra_op_parallelism_threads(1)  # as `dualtower serve` sets it
    function = tf.saved_model.load(job["saved_model"]).signatures[job["signature"]]
    texts: list[str] = job["texts"]
    sys.stdout.write(json.dumps({"ready": tf.__version__}) + "\n")
    sys.stdout.flush()

    def turn(rows: int, callers: int, seconds: float) -> dict[str, Any]:
        blocks = [
            tf.constant(texts[at : at + rows]) for at in range(0, len(texts) - rows + 1, rows)
        ]
        elapsed_ns: list[int] = []
        begin_s = time.perf_counter()

        def call(first: int) -> None:
            index = first
            while time.perf_counter() - begin_s < seconds:
                begin_ns = time.perf_counter_ns()
                function(text=blocks[index % len(blocks)])["embedding"].numpy()
                elapsed_ns.append(time.perf_counter_ns() - begin_ns)
                index += callers

        threads = [threading.Thread(target=call, args=(number,)) for number in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took_s = time.perf_counter() - begin_s
        return {"elapsed_ns": elapsed_ns, "rows_per_s": rows * len(elapsed_ns) / took_s}

    for line in sys.stdin:
        sys.stdout.write(json.dumps(turn(**json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
