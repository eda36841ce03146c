"""The most memory that a process had resident, its own program's alone."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

__all__ = ["peak_bytes"]

_STATUS = Path("/proc/self/status")


def peak_bytes() -> int:
    """Of this process since its program began.

    getrusage's `ru_maxrss` is no less than what the process that started this one had then, see
    "maxrss" in Linux's fs/exec.c; it stands in where there is no /proc.
    """
    if _STATUS.exists():
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
