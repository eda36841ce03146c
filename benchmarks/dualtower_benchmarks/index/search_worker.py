"""Searches an index that was built, in short turns. See `peer`.

A job as of `build_worker`; then `{"effort", "batch", "seconds", "begin"}` is answered by
`wall_ns` and `cpu_ns` of each call, `{"effort", "batch"}` by the `rows` of all users, and
`{"memory": true}` by what the process takes.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from dualtower_benchmarks.index.catalogue import open_catalogue
from dualtower_benchmarks.index.kinds import kind_of
from dualtower_benchmarks.index.searcher import Searcher
from dualtower_export.edge_memory import peak_resident_bytes

__all__ = ["main"]


def main() -> None:
    """Opens the index, then answers what it is asked until its input ends."""
    job = json.loads(sys.stdin.readline())
    kind = kind_of(job["engine"])
    begin_ns = time.perf_counter_ns()
    searcher = kind.open(Path(job["path"]), job)
    open_s = (time.perf_counter_ns() - begin_ns) / 1e9
    catalogue = open_catalogue(Path(job["catalogue"]))
    batches: dict[int, list[Any]] = {}
    _answer({"ready": searcher.version, "open_s": open_s})
    for line in sys.stdin:
        asked = json.loads(line)
        if "memory" in asked:
            _answer(_memory())
            continue
        batch = asked["batch"]
        if batch not in batches:
            batches[batch] = [
                searcher.asked(
                    catalogue.users[begin : begin + batch], catalogue.seen[begin : begin + batch]
                )
                for begin in range(0, len(catalogue.users) - batch + 1, batch)
            ]
        if "seconds" in asked:
            _answer(_turn(searcher, batches[batch], asked))
        else:
            found = [searcher.search(one, asked["effort"]) for one in batches[batch]]
            _answer({"rows": [row for answer in found for row in searcher.rows(answer)]})


def _turn(searcher: Searcher, batches: list[Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Calls one after the other for so many seconds, at least one; the first is not counted."""
    effort, place = asked["effort"], asked["begin"]
    searcher.search(batches[place % len(batches)], effort)  # caches as if it ran alone
    wall_ns: list[int] = []
    cpu_ns: list[int] = []
    end_ns = time.perf_counter_ns() + asked["seconds"] * 1e9
    while not wall_ns or time.perf_counter_ns() < end_ns:
        one = batches[place % len(batches)]
        place += 1
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        searcher.search(one, effort)
        cpu_ns.append(time.process_time_ns() - cpu)
        wall_ns.append(time.perf_counter_ns() - wall)
    return {"wall_ns": wall_ns, "cpu_ns": cpu_ns}


def _memory() -> dict[str, Any]:
    """Proportional set size now and the largest resident one, both with mapped files."""
    pss: int | None = getattr(psutil.Process().memory_full_info(), "pss", None)
    return {"pss_bytes": pss, "peak_bytes": peak_resident_bytes()}


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
