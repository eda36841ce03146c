"""Memory, threads and descriptors of a server's processes, once a second out of /proc.

PSS, which counts a page that several processes share by its part, is read every ten seconds: the
kernel walks all pages for it and holds up the process meanwhile.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import psutil

__all__ = ["INTERVAL_S", "MemoryCurve"]

INTERVAL_S = 1.0
_PSS_EVERY = 10


class MemoryCurve:
    """Reads a process and its children in a thread while the `with` lasts.

    Attributes:
        columns: `t_s` (since the begin), `rss_mb`, `threads`, `descriptors` (None where they
            cannot be read).
        pss: `t_s` and `pss_mb`; empty where it cannot be read.
        ended: why there are no further readings; None: there are.
    """

    def __init__(self, pid: int, *, interval_s: float = INTERVAL_S) -> None:
        self._root = psutil.Process(pid)
        self._interval_s = interval_s
        self.begin_ns = time.monotonic_ns()
        self.columns: dict[str, list[Any]] = {
            name: [] for name in ("t_s", "rss_mb", "threads", "descriptors")
        }
        self.pss: dict[str, list[float]] = {"t_s": [], "pss_mb": []}
        self.ended: str | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="memory-curve", daemon=True)

    def __enter__(self) -> MemoryCurve:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _work(self) -> None:
        number = 0
        while True:
            try:
                self._read(with_pss=number % _PSS_EVERY == 0)
            except psutil.NoSuchProcess:
                self.ended = "the server's process ended"
                return
            number += 1
            due_s = self.begin_ns / 1e9 + number * self._interval_s
            if self._stopped.wait(max(0.0, due_s - time.monotonic())):
                return

    def _read(self, *, with_pss: bool) -> None:
        tree = [self._root, *self._root.children(recursive=True)]
        t_s = (time.monotonic_ns() - self.begin_ns) / 1e9
        rss = [process.memory_info().rss for process in tree]
        threads = [process.num_threads() for process in tree]
        self.columns["t_s"].append(round(t_s, 3))
        self.columns["rss_mb"].append(sum(rss) / 1e6)
        self.columns["threads"].append(sum(threads))
        self.columns["descriptors"].append(_descriptors(tree))
        if with_pss and (pss := _pss(tree)) is not None:
            self.pss["t_s"].append(round(t_s, 3))
            self.pss["pss_mb"].append(pss / 1e6)


def _descriptors(tree: list[psutil.Process]) -> int | None:
    try:
        return sum(process.num_fds() for process in tree)
    except psutil.AccessDenied:
        return None


def _pss(tree: list[psutil.Process]) -> int | None:
    try:
        return sum(process.memory_full_info().pss for process in tree)
    except (psutil.AccessDenied, AttributeError):
        return None
