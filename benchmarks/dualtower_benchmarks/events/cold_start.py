"""From the start of a server's process to its first right answer, in its steps.

start ─► process runs ─► port open ─► model AVAILABLE ─► first answer, checked
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dualtower.errors import UnavailableError
from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.drivers.grpc_target import GrpcTarget
from dualtower_benchmarks.events.measured import Event, Measured
from dualtower_benchmarks.load.workload import Workload, check_answer
from dualtower_benchmarks.scenario.jobs import Engine, batching_flags
from dualtower_benchmarks.stats.percentiles import nearest_rank
from dualtower_clients import ClientError, ServingClient
from dualtower_serving.engines import DEFAULT_IMAGE
from dualtower_serving.launch import RunningServer, prepare

__all__ = ["STEPS", "drop_page_cache", "measure"]

STEPS = ("process_s", "port_s", "available_s", "answer_s")
RESOLUTION_S = 0.01  # between two looks
_START_S = 180.0
_DROP = Path("/proc/sys/vm/drop_caches")


def measure(event: Event) -> Measured:
    """Starts a server `case.starts` times, one after the other."""
    case = event.case
    event.own_server(what="starts servers", docker=False)
    request = _request(event)
    starts = []
    engine = ""
    for number in range(case.starts):
        if case.cache == "dropped":
            drop_page_cache()
        found, engine = _start(event, request, keep=number == 0)
        starts.append(found)
    totals = np.array([one["answer_s"] * 1e9 for one in starts]).astype(np.int64)
    steps = {
        step: nearest_rank(np.array([one[step] * 1e9 for one in starts]).astype(np.int64), 0.5)
        / 1e9
        for step in STEPS
    }
    return Measured(
        {
            "starts": starts,
            "median": steps,
            "lowest_s": float(totals.min()) / 1e9,
            "highest_s": float(totals.max()) / 1e9,
            "page_cache": "dropped before each start"
            if case.cache == "dropped"
            else "as found at the first start, warm at the others",
            "resolution_s": RESOLUTION_S,
        },
        engine=engine,
    )


def drop_page_cache() -> None:
    """Drops the clean pages of the machine's files.

    Raises:
        NotHere: it is not permitted here.
    """
    os.sync()
    try:
        _DROP.write_text("1\n", encoding="ascii")
    except OSError as error:
        raise NotHere(f"{_DROP} cannot be written ({error.strerror}): take cache = 'warm'") from (
            error
        )


def _request(event: Event) -> bytes:
    bundle, settings = event.place.bundle, event.place.settings
    job = {"seed": settings.seed, "history_texts": settings.history_texts}
    workload = Workload.of_job(bundle, {**job, "tokens": event.case.tokens})
    width = int(bundle.manifest["space"].get("history_items", settings.history_texts))
    return workload.requests(event.case.model, event.case.batch_rows, history_width=width)[0]


def _start(event: Event, request: bytes, *, keep: bool) -> tuple[dict[str, Any], str]:
    """Seconds from the start to each of STEPS, and the engine."""
    case, bundle = event.case, event.place.bundle
    runtime = Path(tempfile.mkdtemp(prefix="dualtower-serve-"))  # removed by the server's keeper
    try:
        plan, port, rest_port = prepare(
            bundle,
            engine=case.engine,
            port=0,
            rest_port=None,
            batching=None if case.batching == "bundle" else False,
            image=DEFAULT_IMAGE,
            flags=[*batching_flags(case.batching), *case.flags.split()],
            runtime=runtime,
        )
    except BaseException:
        shutil.rmtree(runtime, ignore_errors=True)
        raise
    begin_s = time.monotonic()
    with RunningServer(plan, port=port, rest_port=rest_port, runtime=runtime, log=None) as server:
        found = {"process_s": time.monotonic() - begin_s}
        if keep:
            event.keep(Engine(server.address, "", server.engine, server.pid, tuple(server.command)))
        _until(lambda: _is_open(port), server, begin_s)
        found["port_s"] = time.monotonic() - begin_s
        with ServingClient(server.address, timeout_s=2.0) as client:
            _until(lambda: _is_available(client, case.model), server, begin_s)
        found["available_s"] = time.monotonic() - begin_s
        with GrpcTarget(server.address, [request], deadline_s=_START_S) as target:
            answer = target.first_answer()
        found["answer_s"] = time.monotonic() - begin_s
        check_answer(case.model, case.batch_rows, answer)
        return found, str(server.engine)


def _until(is_so: Callable[[], bool], server: RunningServer, begin_s: float) -> None:
    while not is_so():
        if not server.running or time.monotonic() - begin_s > _START_S:
            raise UnavailableError(server.why_it_ended())
        time.sleep(RESOLUTION_S)


def _is_open(port: int) -> bool:
    try:
        socket.create_connection(("localhost", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _is_available(client: ServingClient, model: str) -> bool:
    try:
        return any(one.state == "AVAILABLE" for one in client.status(model))
    except ClientError:
        return False
