"""Whether a request that has waited can still be answered in time, and how much may run before it.

A server that is asked for more than it can do and runs what is oldest, in batches as large as they
come, answers everything just too late: all its work is thrown away. So what would come too late is
refused, its turn goes to a request that has time, and no batch takes most of its callers' time.
"""

from __future__ import annotations

__all__ = ["Pace"]

_DEVIATIONS = 4
_SHARE = 4  # of a caller's time that one run may take: one part
_WEIGHT = 4  # of all runs before against the last one
_DEVIATION_WEIGHT = 3


class Pace:
    """How long runs take lately.

    Attributes:
        run_ns: a moving average of the last few runs, 0 before the first.
        row_ns: the same of a row of them.
        deviation_ns: the same of how far runs were from `run_ns`, as in RFC 6298.
    """

    __slots__ = ("deviation_ns", "row_ns", "run_ns")

    def __init__(self) -> None:
        self.run_ns = 0
        self.row_ns = 0
        self.deviation_ns = 0

    @property
    def needed_ns(self) -> int:
        """What must be left before a deadline: RFC 6298's bound, or time for a second run.

        An answer has a way to go, however regular the runs are.
        """
        return self.run_ns + max(self.run_ns, _DEVIATIONS * self.deviation_ns)

    def ran(self, elapsed_ns: int, rows: int = 1) -> None:
        """A run took so long."""
        off_ns = abs(elapsed_ns - self.run_ns) if self.run_ns else elapsed_ns // 2
        self.deviation_ns = _averaged(self.deviation_ns, off_ns, _DEVIATION_WEIGHT)
        self.run_ns = _averaged(self.run_ns, elapsed_ns, _WEIGHT)
        if rows:
            self.row_ns = _averaged(self.row_ns, elapsed_ns // rows, _WEIGHT)

    def is_too_late(self, queued_ns: int, deadline_ns: int | None, now_ns: int) -> bool:
        """Whether a request that begins to run now will not be answered by its deadline.

        A request of which less time has passed than is left is run whatever the pace: what has not
        waited is never refused, so a deadline that is short, or one slow run, refuses nobody for
        good.

        Args:
            queued_ns: when it came.
            deadline_ns: when its caller stops waiting; None: never.
            now_ns: by the same clock.
        """
        if deadline_ns is None:
            return False
        left_ns = deadline_ns - now_ns
        return left_ns <= 0 or (left_ns < self.needed_ns and left_ns < now_ns - queued_ns)

    def is_too_long(self, rows: int, queued_ns: int, deadline_ns: int | None) -> bool:
        """Whether a run of so many rows takes more of a request's time than one run should."""
        if deadline_ns is None:
            return False
        return _SHARE * self.row_ns * rows > deadline_ns - queued_ns


def _averaged(before_ns: int, last_ns: int, weight: int) -> int:
    """The last one against `weight` parts of all before."""
    return (weight * before_ns + last_ns) // (weight + 1) if before_ns else last_ns
