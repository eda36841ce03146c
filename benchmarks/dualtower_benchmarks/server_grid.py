"""A model server under load: batch × concurrency in closed loops, then open loops at half of that.

For every model and batch: first a closed loop per number of clients, which finds the capacity; then
one open loop with Poisson arrivals at a share of the best of them, which finds what users wait for.
The load comes from this process; the server is another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from dualtower.bundle import Bundle
from dualtower.errors import BundleMismatch
from dualtower.progress import bar, say
from dualtower_benchmarks import arrivals
from dualtower_benchmarks.closed_loop import run_closed_loop
from dualtower_benchmarks.open_loop import run_open_loop
from dualtower_benchmarks.points import Points, Subject
from dualtower_benchmarks.priority import real_time
from dualtower_benchmarks.settings import SIGNATURES, BenchConfig
from dualtower_benchmarks.targets import GrpcTarget
from dualtower_benchmarks.workload import Workload, check_answer
from dualtower_clients import Description, Recommender

__all__ = ["Server", "measure_server", "running_server"]


_LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "unix")


@dataclass(frozen=True)
class Server:
    """A server to measure.

    Args:
        engine: binary, docker or embedded; "" where that is not known.
        device: "CPU" or "GPU" where it is known, else "unknown".
        started: whether it was started for this run.
    """

    address: str
    engine: str
    device: str
    started: bool


@contextmanager
def running_server(
    bundle: Bundle, config: BenchConfig, *, address: str | None, engine: str, has_gpu: bool
) -> Iterator[Server]:
    """The server at `address`, or one started from the bundle and stopped afterwards.

    Args:
        engine: what serves at the address; "" where that is not known.
        has_gpu: whether this machine has a GPU; then a server on it may use it without saying so.

    Raises:
        UnavailableError: no engine can be started.
    """
    if address is not None:
        here = address.rpartition(":")[0] in _LOOPBACK
        device = "CPU" if here and not has_gpu else "unknown"
        yield Server(address, engine=engine, device=device, started=False)
        return
    import dualtower_serving

    with dualtower_serving.start(bundle, engine=config.engine, port=0) as running:
        device = "unknown" if has_gpu else "CPU"
        yield Server(running.address, engine=running.engine, device=device, started=True)


def measure_server(
    server: Server, bundle: Bundle, workload: Workload, points: Points
) -> dict[str, Any]:
    """Adds the points of the grid; returns what is known of the server.

    Raises:
        BundleMismatch: the server has another bundle, before the run or after it.
        UnavailableError: it does not answer.
    """
    config = points.config
    before = _describe(server, bundle)
    total = len(config.models) * len(config.batches) * (len(config.concurrency) + 1)
    with bar("server points", total) as progress:
        for model in config.models:
            for batch_rows in config.batches:
                requests = workload.requests(
                    model, batch_rows, history_width=before[model].history_items
                )
                for row in _measure_batch(server, model, batch_rows, requests, points):
                    progress.advance(note=_note(row))
    if (after := _describe(server, bundle)) != before:
        raise BundleMismatch(
            expected=f"versions {_versions(before)}",
            found=f"versions {_versions(after)}",
            where=f"{server.address} after the run",
            repair="the server swapped models under load; run the benchmark again",
        )
    return {
        "address": server.address,
        "engine": server.engine,
        "device": server.device,
        "started_for_this_run": server.started,
        "model_versions": _versions(before),
    }


def _measure_batch(
    server: Server, model: str, batch_rows: int, requests: Sequence[bytes], points: Points
) -> Iterator[dict[str, Any]]:
    config = points.config
    subject = Subject(
        part="server",
        model=model,
        signature=SIGNATURES[model],
        device=server.device,
        batch_rows=batch_rows,
    )
    with ExitStack() as stack:
        clients = [
            stack.enter_context(GrpcTarget(server.address, requests, deadline_s=config.deadline_s))
            for _ in range(max(config.concurrency))
        ]
        for client in clients:  # connects, and runs this batch size once
            check_answer(model, batch_rows, client.first_answer())
        capacity_qps = 0.0
        for count in config.concurrency:
            samples = run_closed_loop(
                clients[:count], duration_s=config.point_s, warmup_s=config.warmup_s
            )
            row = points.closed(subject, samples, clients=count)
            capacity_qps = max(capacity_qps, row["achieved_qps"])
            yield row
    if not capacity_qps:
        say(f"  {model} batch {batch_rows}: no closed-loop request succeeded, no open loop")
        return
    yield _measure_open(
        server, requests, subject, points, offered_qps=capacity_qps * config.open_load_share
    )


def _measure_open(
    server: Server,
    requests: Sequence[bytes],
    subject: Subject,
    points: Points,
    *,
    offered_qps: float,
) -> dict[str, Any]:
    """The row of an open loop; one that is void is measured again, and both are kept."""
    config = points.config
    # the connection's own threads belong inside, or they hold up the one that keeps the schedule
    with (
        real_time() as scheduling,
        GrpcTarget(server.address, requests, deadline_s=config.deadline_s) as target,
    ):
        target.first_answer()
        for attempt in range(config.open_attempts):
            schedule_ns = arrivals.poisson(
                offered_qps, config.warmup_s + config.open_s, seed=config.seed + attempt
            )
            run = run_open_loop(
                target, schedule_ns, max_in_flight=config.max_in_flight, warmup_s=config.warmup_s
            )
            row = points.open(subject, run, offered_qps=offered_qps, scheduling=scheduling)
            if row["void"] is None:
                break
    return row


def _describe(server: Server, bundle: Bundle) -> Mapping[str, Description]:
    """What each model says of itself, after holding that all are of this bundle."""
    with Recommender(server.address, expect_fingerprint=bundle.fingerprint) as client:
        return client.describe()


def _versions(descriptions: Mapping[str, Description]) -> dict[str, int]:
    return {model: one.version for model, one in descriptions.items()}


def _note(row: dict[str, Any]) -> str:
    load = f"{row['concurrency']} clients" if row["loop"] == "closed" else "open"
    return f"{row['model']} batch {row['batch_rows']} {load}"
