"""What a server costs over the same SavedModel in process, in one run.

    one client     server's p50 − p50 in process, a text a call, in turns
    many clients   server's rows/s with batching over the best rows/s of any batch size in process

Server and process take turns in short rounds, so that what else the machine does hits both; the
median of the rounds counts. The generator of the load runs on the same cores and is part of what
the server's numbers cost.
"""

from __future__ import annotations

import statistics
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dualtower.bundle import Bundle
from dualtower.errors import UnavailableError
from dualtower.progress import say, step
from dualtower_benchmarks.drivers.grpc_target import GrpcTarget
from dualtower_benchmarks.load.closed_loop import run_closed_loop
from dualtower_benchmarks.load.samples import OK, Samples
from dualtower_benchmarks.load.workload import Workload
from dualtower_benchmarks.machine import machine_facts
from dualtower_benchmarks.peer import Peer
from dualtower_serving import RunningServer, start

__all__ = ["ServingSpeed", "measure_serving"]

_MODEL, _SIGNATURE = "item_tower", "serving_default"
_TEXTS = 2048
_DEADLINE_S = 60.0


@dataclass(frozen=True)
class ServingSpeed:
    """How it is measured.

    Attributes:
        engine: which server; see `dualtower serve`.
        clients: of the second part.
        rows: batch sizes that are tried in process.
        callers: threads that are tried in process.
        rounds: turns of each side.
        seconds: of a turn.
        seed: of the texts.
        flags: further flags of the server.
    """

    engine: str = "auto"
    clients: int = 32
    rows: tuple[int, ...] = (8, 16, 32, 64)
    callers: tuple[int, ...] = (1, 2)
    rounds: int = 7
    seconds: float = 3.0
    seed: int = 0
    flags: tuple[str, ...] = ()


def measure_serving(path: Path, speed: ServingSpeed) -> dict[str, Any]:
    """The document of a run: settings, machine, engine, `one` and `many`.

    Raises:
        UnavailableError: the server or the process cannot run, or requests failed.
    """
    bundle = Bundle.open(path)
    machine = machine_facts()
    workload = Workload.of(bundle, seed=speed.seed, history_texts=1)
    job = {
        "saved_model": str(bundle.model_path(_MODEL) / str(bundle.version)),
        "signature": _SIGNATURE,
        "texts": workload.texts[workload.item_rows(_TEXTS)].tolist(),
    }
    requests = workload.requests(_MODEL, 1, history_width=1)
    command = (sys.executable, "-m", "dualtower_benchmarks.serving_cost.worker")
    with ExitStack() as stack:
        with step("start the model in process"):
            peer = stack.enter_context(Peer("in process", command, job, threads=0))
        with step("one client"), _server(bundle, speed, batching=False) as server:
            one = _one_client(server, requests, peer, speed)
            engine, commands = server.engine, [server.command]
        with step(f"{speed.clients} clients"), _server(bundle, speed, batching=True) as server:
            many = _many_clients(server, requests, peer, speed)
            commands.append(server.command)
    return {
        "settings": asdict(speed),
        "machine": machine,
        "engine": engine,
        "commands": commands,
        "fingerprint": bundle.fingerprint,
        "one": one,
        "many": many,
    }


def _server(bundle: Bundle, speed: ServingSpeed, *, batching: bool) -> RunningServer:
    return start(bundle, engine=speed.engine, batching=batching, flags=speed.flags)


def _one_client(
    server: RunningServer, requests: list[bytes], peer: Peer, speed: ServingSpeed
) -> dict[str, Any]:
    rounds = []
    with GrpcTarget(server.address, requests, deadline_s=_DEADLINE_S) as target:
        target.first_answer()
        for number in range(speed.rounds + 1):
            alone = peer.ask({"rows": 1, "callers": 1, "seconds": speed.seconds})
            served = _answered(run_closed_loop([target], duration_s=speed.seconds))
            if number:  # the first turn warms both up
                rounds.append(
                    {
                        "in_process_ms": _percentiles_ms(alone["elapsed_ns"]),
                        "server_ms": _percentiles_ms(served.latency_ns),
                    }
                )
    overheads = [one["server_ms"]["p50"] - one["in_process_ms"]["p50"] for one in rounds]
    return {
        "rounds": rounds,
        "in_process_p50_ms": statistics.median(one["in_process_ms"]["p50"] for one in rounds),
        "server_p50_ms": statistics.median(one["server_ms"]["p50"] for one in rounds),
        "overhead_p50_ms": statistics.median(overheads),
        "overhead_p50_ms_range": [min(overheads), max(overheads)],
    }


def _many_clients(
    server: RunningServer, requests: list[bytes], peer: Peer, speed: ServingSpeed
) -> dict[str, Any]:
    trials = {
        (rows, callers): peer.ask({"rows": rows, "callers": callers, "seconds": speed.seconds})
        for rows in speed.rows
        for callers in speed.callers
    }
    best = max(trials, key=lambda one: float(trials[one]["rows_per_s"]))
    say(f"best in process: {best[1]} × {best[0]} rows")
    alone, served, ratios, latencies = [], [], [], []
    with ExitStack() as stack:
        targets = [
            stack.enter_context(GrpcTarget(server.address, requests, deadline_s=_DEADLINE_S))
            for _ in range(speed.clients)
        ]
        for target in targets:
            target.first_answer()
        for number in range(speed.rounds + 1):
            turn = peer.ask({"rows": best[0], "callers": best[1], "seconds": speed.seconds})
            samples = _answered(run_closed_loop(targets, duration_s=speed.seconds))
            if number:
                alone.append(float(turn["rows_per_s"]))
                served.append(len(samples) / samples.elapsed_s)
                ratios.append(served[-1] / alone[-1])
                latencies.append(_percentiles_ms(samples.latency_ns))
    return {
        "trials": [
            {"rows": rows, "callers": callers, "rows_per_s": trial["rows_per_s"]}
            for (rows, callers), trial in trials.items()
        ],
        "best_rows": best[0],
        "best_callers": best[1],
        "in_process_rows_per_s": statistics.median(alone),
        "server_rows_per_s": statistics.median(served),
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "server_ms": latencies,
    }


def _answered(samples: Samples) -> Samples:
    if samples.errors:
        raise UnavailableError(
            f"{sum(samples.errors.values())} requests failed: {samples.errors}; "
            "a speed with errors says nothing"
        )
    assert (samples.status == OK).all()
    return samples


def _percentiles_ms(elapsed_ns: Any) -> dict[str, float]:
    values = np.percentile(np.asarray(elapsed_ns, np.float64), (50, 90, 99)) / 1e6
    return {name: float(value) for name, value in zip(("p50", "p90", "p99"), values, strict=True)}
