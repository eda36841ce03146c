"""The raw observations of a run as Parquet, beside its results: nothing is thrown away.

One row per request: `point` (the key in the results), `due_ns` from the first due instant of its
point, `sent_ns` and `done_ns` on the same clock, `status`, and `warmup`: whether it was left out of
the figures as warm-up. Files of earlier versions have neither that column nor those requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dualtower.files import atomic_file
from dualtower_benchmarks.load.samples import ClockError, Samples

__all__ = ["read_raw", "write_raw"]


def write_raw(path: Path, raw: Sequence[Samples]) -> None:
    """Replaces `path`; the position in `raw` is the point's number."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    start_ns = [samples.due_ns.min() if len(samples) else 0 for samples in raw]
    pairs = list(zip(raw, start_ns, strict=True))
    columns = {
        "point": np.repeat(np.arange(len(raw), dtype=np.int32), [len(one) for one in raw]),
        "due_ns": _joined([one.due_ns - start for one, start in pairs]),
        "sent_ns": _joined([one.sent_ns - start for one, start in pairs]),
        "done_ns": _joined([one.done_ns - start for one, start in pairs]),
        "status": pa.array([status for one in raw for status in one.status.tolist()], pa.string()),
        "warmup": pa.array([flag for one in raw for flag in _warmup(one).tolist()], pa.bool_()),
    }
    with atomic_file(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def read_raw(path: Path) -> dict[int, Samples]:
    """The observations by point, warm-up among them; points without any request are left out.

    Raises:
        ClockError: a request was answered before it was sent, or sent before it was due.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    point = table["point"].to_numpy()
    due, sent, done = (table[name].to_numpy() for name in ("due_ns", "sent_ns", "done_ns"))
    if not len(point):
        return {}
    # a million requests have a handful of different words
    words = table["status"].combine_chunks().dictionary_encode()
    status = np.array(words.dictionary.to_pylist(), dtype=np.str_)[words.indices.to_numpy()]
    warmup = table["warmup"].to_numpy() if "warmup" in table.column_names else None
    order = np.argsort(point, kind="stable")
    numbers, begins = np.unique(point[order], return_index=True)
    raw = {}
    for number, rows in zip(numbers.tolist(), np.split(order, begins[1:]), strict=True):
        try:
            left_out = None if warmup is None else warmup[rows]
            raw[number] = Samples(due[rows], sent[rows], done[rows], status[rows], left_out)
        except ClockError as error:
            raise ClockError(f"{path}, point {number}: {error}") from error
    return raw


def _warmup(samples: Samples) -> np.ndarray:
    return np.zeros(len(samples), np.bool_) if samples.warmup is None else samples.warmup


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
