"""How many files, and so connections, the process may hold."""

from __future__ import annotations

import contextlib
import resource

__all__ = ["OTHER_FILES", "most_open_files"]

OTHER_FILES = 256  # that the process needs besides connections


def most_open_files() -> int:
    """Takes all that the system grants, which is more than it gives unasked, and says how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return 1 << 30 if soft == resource.RLIM_INFINITY else soft
