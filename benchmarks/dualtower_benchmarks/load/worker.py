"""The process that generates load: opens one driver and runs loads on it, one a line.

It speaks lines of JSON as `peer` says. The first line is a job of a driver, answered by its facts;
each further one is another job, whose driver takes the place of the one before, or
`{"load": {…}, "out": path}`, answered by `{"scheduling": …}`, with the samples in the file `out`
(.npz), or `{"mlperf": {…}, "folder": path, "seed": n}`, a run of MLPerf LoadGen.
A job or load that cannot be is answered by `{"error": …, "kind": …}`.

What libraries print goes to stderr: the protocol has the standard output for itself.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from dualtower.errors import DualtowerError
from dualtower_benchmarks.drivers.driver import Driver
from dualtower_benchmarks.drivers.opening import open_driver
from dualtower_benchmarks.load.load import Load
from dualtower_benchmarks.load.run import run_load

__all__ = ["main"]


def main() -> None:
    """Serves the protocol until the standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    driver: Driver | None = None
    try:
        for line in sys.stdin:
            order = json.loads(line)
            try:
                if driver is None or "driver" in order:
                    if driver is not None:
                        driver.close()
                    driver = None
                    driver = open_driver(order)
                    driver.check()
                    answer: dict[str, Any] = driver.facts()
                elif "mlperf" in order:
                    answer = _loadgen(driver, order)
                else:
                    answer = _measure(driver, order)
            except DualtowerError as error:
                answer = {"error": str(error), "kind": type(error).__name__}
            _say(answers, answer)
    finally:
        if driver is not None:
            driver.close()


def _measure(driver: Driver, order: dict[str, Any]) -> dict[str, Any]:
    run = run_load(driver, Load.from_json(order["load"]))
    samples = run.samples
    np.savez(
        order["out"],
        due_ns=samples.due_ns,
        sent_ns=samples.sent_ns,
        done_ns=samples.done_ns,
        status=samples.status,
    )
    return {"scheduling": run.scheduling, "facts": driver.facts()}


def _loadgen(driver: Driver, order: dict[str, Any]) -> dict[str, Any]:
    from dualtower_benchmarks.mlperf.case import MlperfCase
    from dualtower_benchmarks.mlperf.start import run_loadgen

    case = MlperfCase(**order["mlperf"])
    return run_loadgen(driver, case, Path(order["folder"]), seed=order["seed"])


def _say(stream: TextIO, answer: dict[str, Any]) -> None:
    stream.write(json.dumps(answer, ensure_ascii=False) + "\n")
    stream.flush()


if __name__ == "__main__":
    main()
