"""A computation that never changes: how long it takes says how fast the machine is just now.

A virtual machine whose neighbours wake up, a laptop that grows hot, a CPU that ends its boost: each
changes its pace within minutes, and hardly any tells. So the same work is timed again and again, on
every usable core at once, since an encoder takes them all:

    compute   products of small float32 matrices that stay in a core's own cache
    copy      between arrays that are larger than it, by which weights and activations are read

Each lasts some tenths of a second, in rounds of which the median counts, so that one interrupt does
not. Less would not do: on a busy host 5 ms of it differ by half, 250 ms by an eighth. The work of a
core is the same on every machine; the milliseconds of two machines with the same
cores can be held against each other, those of others cannot.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dualtower_benchmarks.machine import usable_cores

__all__ = ["KINDS", "Take", "take"]

KINDS = ("compute_ms", "copy_ms")

_ROUNDS = 3
_SIZE, _STACK = 48, 16  # 48³ is below what BLAS would share among threads of its own
_PRODUCTS = 480  # of the stack in a round, 1.7 GFLOP a core
_COPIED_BYTES = 64 << 20  # of all cores together
_COPIES = 6


@dataclass(frozen=True)
class Take:
    """One timing of both kinds.

    Args:
        at_s: when it began, Unix time.
        compute_ms, copy_ms: medians of their rounds, a round until its last core is done.
    """

    at_s: float
    compute_ms: float
    copy_ms: float


def take() -> Take:
    """Times the computation once. It takes some tenths of a second and keeps no memory."""
    cores = usable_cores() or 1
    at_s = time.time()
    matrices = np.full((_STACK, _SIZE, _SIZE), 0.5, np.float32)
    compute = [_products(matrices) for _ in range(cores)]
    copy = [_copies(_COPIED_BYTES // cores) for _ in range(cores)]
    return Take(at_s, _median_ms(compute), _median_ms(copy))


def _products(matrices: np.ndarray) -> Callable[[], None]:
    found = np.empty_like(matrices)

    def work() -> None:
        for _ in range(_PRODUCTS):
            np.matmul(matrices, matrices, out=found)

    return work


def _copies(size_bytes: int) -> Callable[[], None]:
    source, target = (np.full(size_bytes, 1, np.uint8) for _ in range(2))

    def work() -> None:
        for _ in range(_COPIES):
            np.copyto(target, source)

    return work


def _median_ms(works: list[Callable[[], None]]) -> float:
    return statistics.median(_round_ns(works) for _ in range(_ROUNDS)) / 1e6


def _round_ns(works: list[Callable[[], None]]) -> int:
    """All of the works at once, from the first that begins to the last that ends."""
    barrier = threading.Barrier(len(works))
    spans: list[tuple[int, int]] = []

    def timed(work: Callable[[], None]) -> None:
        barrier.wait()
        begin_ns = time.perf_counter_ns()
        work()
        spans.append((begin_ns, time.perf_counter_ns()))

    threads = [threading.Thread(target=timed, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(end for _, end in spans) - min(begin for begin, _ in spans)
