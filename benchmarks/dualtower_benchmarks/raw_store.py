"""The raw observations of a run as Parquet, beside its results: nothing is thrown away.

One row per request: `point` (the key in bench.json), `due_ns` from the first due instant of its
point, `sent_ns` and `done_ns` on the same clock, `status`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dualtower.files import atomic_file
from dualtower_benchmarks.samples import Samples

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
    }
    with atomic_file(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def read_raw(path: Path) -> dict[int, Samples]:
    """The observations by point; points without any request are left out."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    point = table["point"].to_numpy()
    due, sent, done = (table[name].to_numpy() for name in ("due_ns", "sent_ns", "done_ns"))
    status = np.array(table["status"].to_pylist(), dtype=np.str_)
    return {
        int(number): Samples(due[rows], sent[rows], done[rows], status[rows])
        for number in np.unique(point)
        for rows in [np.flatnonzero(point == number)]
    }


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
