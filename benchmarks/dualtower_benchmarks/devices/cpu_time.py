"""CPU time of a process and of all that it started, so that a row says how many cores it took.

A process that ended keeps what was last read of it. What one did between its last reading and its
end is lost: at most one interval.
"""

from __future__ import annotations

import psutil

__all__ = ["ProcessTree"]

_READINGS_PER_LOOK = 10  # looking for new children reads all of /proc


class ProcessTree:
    """A process and its children, by the id of the first.

    Args:
        pid: of a process that runs.
    """

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._known: dict[int, psutil.Process] = {pid: self._root}
        self._seconds: dict[int, float] = {}
        self._readings = 0

    def cpu_s(self) -> float:
        """Seconds of CPU time, user and system, of all that were ever seen in the tree."""
        if self._readings % _READINGS_PER_LOOK == 0:
            self._look()
        self._readings += 1
        for pid, process in list(self._known.items()):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                del self._known[pid]
            else:
                self._seconds[pid] = times.user + times.system
        return sum(self._seconds.values())

    @property
    def pids(self) -> frozenset[int]:
        """Of all that were ever seen in the tree."""
        return frozenset(self._seconds) | frozenset(self._known)

    def _look(self) -> None:
        try:
            children = self._root.children(recursive=True)
        except psutil.NoSuchProcess:
            return
        for child in children:
            self._known.setdefault(child.pid, child)
