"""The other side of `bench topk`: faiss on the CPU. See `train_peer`.

Runs under a Python that has faiss, which is no dependency of ours; it imports nothing of dualtower.
The flat index has the thresholds of its BLAS path set to what is fastest: as shipped it takes
batches of 20 and more in blocks of 1,024 rows.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

_BLAS_FROM_USERS = 20
_BLAS_BLOCK_ROWS = 4096


def main() -> None:
    """Builds the indexes, then answers what it is asked."""
    job = json.loads(sys.stdin.readline())
    import faiss  # type: ignore[import-not-found]
    import numpy as np

    faiss.omp_set_num_threads(job["threads"])
    faiss.cvar.distance_compute_blas_threshold = _BLAS_FROM_USERS
    faiss.cvar.distance_compute_blas_database_bs = _BLAS_BLOCK_ROWS
    folder = Path(job["folder"])
    # without weight and rest, which are 0 in every user
    users = np.ascontiguousarray(np.load(folder / "users.npy")[:, :-2])
    flat, inverted = _indexes(folder, job["lists"], faiss, np)
    _answer({"ready": f"faiss {faiss.__version__}, {faiss.get_compile_options().strip()}"})
    for line in sys.stdin:
        asked = json.loads(line)
        index = flat
        if asked["engine"].startswith("ivf_"):
            index, inverted.nprobe = inverted, int(asked["engine"][len("ivf_") :])
        wall_ns, cpu_ns, rows = [], [], []
        for begin in asked["begins"]:
            some = users[begin : begin + asked["batch"]]
            wall, cpu = time.perf_counter_ns(), time.process_time_ns()
            _, found = index.search(some, job["k"])
            cpu_ns.append(time.process_time_ns() - cpu)
            wall_ns.append(time.perf_counter_ns() - wall)
            if asked["rows"]:
                rows += found.tolist()
        _answer({"wall_ns": wall_ns, "cpu_ns": cpu_ns, "rows": rows})


def _indexes(folder: Path, lists: int, faiss: Any, np: Any) -> tuple[Any, Any]:
    """Flat and inverted, by inner product; the inverted one is kept for the next process."""
    tastes = np.ascontiguousarray(np.load(folder / "vectors.npy")[:, :-2])
    flat = faiss.IndexFlatIP(tastes.shape[1])
    flat.add(tastes)
    kept = folder / "inverted.faiss"
    if kept.exists():
        return flat, faiss.read_index(str(kept))
    quantizer = faiss.IndexFlatIP(tastes.shape[1])
    inverted = faiss.IndexIVFFlat(quantizer, tastes.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
    inverted.train(tastes)
    inverted.add(tastes)
    faiss.write_index(inverted, str(kept))
    return flat, inverted


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
