"""The process that traces a tower's SavedModel on a GPU. See `transfers`.

    python -m dualtower_benchmarks.devices.transfer_worker BUNDLE BATCH_ROWS CALLS

It answers a line of JSON: shares of copies, `calls`, `batch_rows`; or `{"absent": reason}`. Where
the profiler gives no event of the card (no CUPTI, or no permission), the share is the time of a
call with inputs on the host against one with inputs on the card, and `source` says so.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dualtower_benchmarks.devices.transfers import read_trace, transfers_of
from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.drivers.opening import open_driver
from dualtower_benchmarks.stats.percentiles import nearest_rank

__all__ = ["TRACE", "TWO_PLACES", "main", "share_by_place"]

TRACE = "profiler's trace"
TWO_PLACES = "calls with inputs on the host against calls with inputs on the card"
_WARM = 10


def main() -> None:
    """Measures once and answers."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    bundle, batch_rows, calls = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    job = {"driver": "saved_model", "bundle": bundle, "device": "GPU", "batch_rows": batch_rows}
    try:
        answer = _measured(job, calls)
    except NotHere as reason:
        answer = {"absent": str(reason)}
    answers.write(json.dumps(answer) + "\n")
    answers.close()


def _measured(job: dict[str, Any], calls: int) -> dict[str, Any]:
    client = open_driver(job).connect()
    import tensorflow as tf

    for index in range(_WARM):
        client.call(index)
    with tempfile.TemporaryDirectory(prefix="dualtower-trace-") as folder:
        tf.profiler.experimental.start(folder)
        begin_ns = time.perf_counter_ns()
        for index in range(calls):
            client.call(index)
        calls_us = (time.perf_counter_ns() - begin_ns) / 1e3
        tf.profiler.experimental.stop()
        activities = read_trace(Path(folder))
    head = {"calls": calls, "batch_rows": job["batch_rows"]}
    try:
        return {**head, "source": TRACE, **transfers_of(activities).as_json(calls_us)}
    except NotHere:
        return {**head, "source": TWO_PLACES, "copies_share": _by_place(tf, job, calls)}


def _by_place(tf: Any, job: dict[str, Any], calls: int) -> float | None:
    """Of token ids, since strings live on the host alone."""
    from dualtower.bundle import Bundle

    bundle = Bundle.open(Path(job["bundle"]))
    loaded = tf.saved_model.load(str(bundle.model_path("item_tower") / str(bundle.version)))
    function = loaded.signatures["from_tokens"]
    tokens = int(bundle.manifest["space"]["item_tokens"])
    with tf.device("/CPU:0"):
        host = tf.ones([job["batch_rows"], tokens], tf.int32)
    with tf.device("/GPU:0"):
        card = tf.identity(host)

    def caller(ids: Any) -> Callable[[], Any]:
        return lambda: function(ids=ids, mask=ids)["embedding"].numpy()

    return share_by_place(caller(host), caller(card), calls)


def share_by_place(
    on_host: Callable[[], Any],
    on_card: Callable[[], Any],
    calls: int,
    *,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> float | None:
    """1 − median on the card / median on the host, in turns; None where that is not positive."""
    times: tuple[list[int], list[int]] = ([], [])
    for _ in range(calls):
        for kept, call in zip(times, (on_host, on_card), strict=True):
            begin_ns = clock()
            call()
            kept.append(clock() - begin_ns)
    host_ns, card_ns = (_median(kept) for kept in times)
    return 1 - card_ns / host_ns if 0 < card_ns < host_ns else None


def _median(values: Sequence[int]) -> int:
    import numpy as np

    return nearest_rank(np.array(values, dtype=np.int64), 0.5)


if __name__ == "__main__":
    main()
