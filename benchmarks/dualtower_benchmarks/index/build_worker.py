"""Builds one index and says what it took. It ends when whoever ordered it does.

A job in, on one line: `engine`, `k`, `lists`, `connectivity`, `expansion_add`, `threads`,
`catalogue` (a folder) and `path`; one line of facts out.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

from dualtower_benchmarks.index.catalogue import open_catalogue
from dualtower_benchmarks.index.kinds import kind_of
from dualtower_export.edge_memory import peak_resident_bytes

__all__ = ["main"]


def main() -> None:
    """From the vectors to a whole file; the clock does not count imports."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    kind = kind_of(job["engine"])
    catalogue = open_catalogue(Path(job["catalogue"]))
    begin_ns = time.perf_counter_ns()
    kind.build(catalogue, Path(job["path"]), job)
    build_s = (time.perf_counter_ns() - begin_ns) / 1e9
    sys.stdout.write(
        json.dumps({"build_s": build_s, "build_peak_bytes": peak_resident_bytes()}) + "\n"
    )
    sys.stdout.flush()
    os._exit(0)  # without minutes of freeing what the system takes back at once


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
