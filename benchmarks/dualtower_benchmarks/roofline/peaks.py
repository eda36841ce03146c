"""What this machine can do at most: matrix products and memory, measured before they are compared.

Each kind runs in a process of its own. Kinds take turns, so that what else the machine does meets
all of them; a peak is the median over its turns with the interval of order statistics, and the best
turn beside it. A product of TensorFlow and one of numpy are both measured: which is the better BLAS
depends on the machine, and a roof is the better of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dualtower.progress import step
from dualtower_benchmarks.peer import Peer
from dualtower_benchmarks.stats.percentiles import minimum_samples, percentile

__all__ = ["BEYOND_CACHE", "PeakSettings", "best_of", "measure_peaks"]

BEYOND_CACHE = 4.0  # an array of STREAM is to be so many times as large as the last cache
_L3 = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16", "avx_ne_convert"})


@dataclass(frozen=True)
class PeakSettings:
    """How peaks are measured.

    Args:
        threads: each number is measured; the last is the whole machine.
        turns: of every kind.
        matrix_size: rows and columns of the square products.
        array_bytes: of each of three arrays; 0: `BEYOND_CACHE` times the last cache, as far as a
            third of a quarter of the free memory reaches.
        bfloat16: whether products in bfloat16 are measured; None: where the CPU has them.
    """

    threads: tuple[int, ...]
    turns: int = 9
    matrix_size: int = 1536
    array_bytes: int = 0
    bfloat16: bool | None = None

    def __post_init__(self) -> None:
        if not self.threads or min(self.threads) < 1:
            raise ValueError(f"threads must be 1 or more, got {list(self.threads)}")
        fewest = minimum_samples(0.5)
        if self.turns < fewest:
            raise ValueError(f"turns must be at least {fewest}, for an interval; got {self.turns}")


def measure_peaks(settings: PeakSettings) -> dict[str, Any]:
    """Measures all kinds at all numbers of threads.

    Returns:
        `peaks`, a row a kind and number of threads (`kind`, `threads`, `gflops` or `gbytes_per_s`
        with `value`, `low`, `high`, `best`, `n`), and the sizes that were used.

    Raises:
        UnavailableError: a process ended.
    """
    array_bytes = settings.array_bytes or _array_bytes()
    last_cache = _last_cache_bytes()
    rows = []
    for threads in settings.threads:
        with step(f"peaks, {threads} threads"):
            turns = _turns(settings, threads, array_bytes)
        rows += [_row(kind, threads, found) for kind, found in turns.items()]
    return {
        "peaks": rows,
        "turns": settings.turns,
        "matrix_size": settings.matrix_size,
        "array_bytes": array_bytes,
        "last_cache_bytes": last_cache,
        "array_to_cache": array_bytes / last_cache if last_cache else None,
    }


def best_of(peaks: Mapping[str, Any], *, precision: str = "float32") -> tuple[float, float] | None:
    """The highest median of products in GFLOP/s, and of memory in GB/s; None: not measured."""
    products = [
        row["gflops"]["value"]
        for row in peaks["peaks"]
        if "gflops" in row and row["kind"].endswith(f"_{precision}")
    ]
    memory = [row["gbytes_per_s"]["value"] for row in peaks["peaks"] if "gbytes_per_s" in row]
    return (max(products), max(memory)) if products and memory else None


def _kinds(settings: PeakSettings) -> Iterator[str]:
    yield from ("tensorflow_float32", "numpy_float32", "memory")
    wanted = settings.bfloat16
    if wanted if wanted is not None else bool(_BFLOAT16_FLAGS & _cpu_flags()):
        yield "tensorflow_bfloat16"


def _turns(settings: PeakSettings, threads: int, array_bytes: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    with ExitStack() as stack:
        peers = {}
        for kind in _kinds(settings):
            job = {
                "kind": kind, "matrix_size": settings.matrix_size, "array_bytes": array_bytes,
            }  # fmt: skip
            command = [sys.executable, "-m", "dualtower_benchmarks.roofline.peaks_worker"]
            peer = Peer(
                f"the peak of {kind}", command, job, threads=threads,
                environment={"OPENBLAS_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)},
            )  # fmt: skip
            peers[kind] = stack.enter_context(peer)
        for turn in range(settings.turns):
            for kind, peer in peers.items():
                found.setdefault(kind, []).append(peer.ask({"turn": turn})["per_s"])
    return found


def _row(kind: str, threads: int, per_s: Sequence[float]) -> dict[str, Any]:
    estimate = percentile(np.array(per_s, dtype=np.int64), 0.5)
    assert estimate is not None  # PeakSettings sees to the number of turns
    value = {key: getattr(estimate, key) / 1e9 for key in ("value", "low", "high")}
    unit = "gbytes_per_s" if kind == "memory" else "gflops"
    return {
        "kind": kind,
        "threads": threads,
        unit: {**value, "best": max(per_s) / 1e9, "n": len(per_s)},
    }


def _array_bytes() -> int:
    import psutil

    most = psutil.virtual_memory().available // 4 // 3
    wanted = int(BEYOND_CACHE * (_last_cache_bytes() or 32 << 20))
    return min(wanted, most) // 4096 * 4096


def _last_cache_bytes() -> int | None:
    """Of the last cache as the system tells it; a virtual machine may tell that of its host."""
    try:
        text = _L3.read_text().strip()
    except OSError:
        return None
    unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1:], 1)
    return int(text.rstrip("KMG")) * unit


def _cpu_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        if line.startswith(("flags", "Features")):
            return frozenset(line.partition(":")[2].split())
    return frozenset()
