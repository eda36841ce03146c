"""The first requests after a load, of a bundle with its warm-up file and of the same one without.

Servers of both kinds take turns, a round each. One client asks, one request after the other, over a
connection that is open already; what follows the first requests says what is usual.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from dualtower.bundle import Bundle
from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.drivers.grpc_target import GrpcTarget
from dualtower_benchmarks.events.linked import linked_bundle, warmup_files, without_warmup
from dualtower_benchmarks.events.measured import Event, Measured
from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.load.workload import Workload, check_answer
from dualtower_benchmarks.scenario.jobs import serving
from dualtower_benchmarks.stats.percentiles import nearest_rank, percentile
from dualtower_clients import Recommender

__all__ = ["WITH", "WITHOUT", "measure", "variant_result"]

WITH, WITHOUT = "with", "without"


def measure(event: Event) -> Measured:
    """Starts a server of each kind `case.rounds` times.

    Raises:
        NotHere: the bundle has no warm-up file.
    """
    case = event.case
    event.own_server(what="compares servers of two bundles")
    if not warmup_files(event.place.bundle):
        raise NotHere(
            "no model of the bundle has a warm-up file (assets.extra/tf_serving_warmup_requests); "
            "`dualtower export` writes them"
        )
    loads: dict[str, list[Samples]] = {WITH: [], WITHOUT: []}
    with event.folder() as folder:
        bundles = {
            WITH: linked_bundle(event.place.bundle, folder / WITH),
            WITHOUT: without_warmup(event.place.bundle, folder / WITHOUT),
        }
        for number in range(case.rounds):
            for name in (WITH, WITHOUT) if number % 2 == 0 else (WITHOUT, WITH):
                samples, engine = _round(event, bundles[name], keep=number == 0)
                loads[name].append(samples)
    confidence = event.place.settings.confidence
    return Measured(
        {
            "variants": [
                variant_result(name, loads[name], case.requests, confidence=confidence)
                for name in (WITH, WITHOUT)
            ],
        },
        loads=[*loads[WITH], *loads[WITHOUT]],
        engine=engine,
    )


def variant_result(
    name: str, rounds: list[Samples], requests: int, *, confidence: float
) -> dict[str, Any]:
    """The first `requests` of each round by their place, and the p50 of those that follow."""
    ms = [(one.done_ns - one.due_ns) / 1e6 for one in rounds]
    firsts = [one[:requests].tolist() for one in ms]
    steady = np.concatenate([one.latency_ns[requests:] for one in rounds])
    p50 = percentile(steady, 0.5, confidence=confidence)
    return {
        "warmup_file": name == WITH,
        "first_ms": firsts,
        "median_ms": [
            nearest_rank((np.array(column) * 1e6).astype(np.int64), 0.5) / 1e6
            for column in zip(*firsts, strict=True)
        ],
        "steady_p50_ms": None
        if p50 is None
        else {key: getattr(p50, key) / 1e6 for key in ("value", "low", "high")},
        "steady_n": len(steady),
        "failed": sum(int((~one.answered).sum()) for one in rounds),
    }


def _round(event: Event, bundle: Bundle, *, keep: bool) -> tuple[Samples, str]:
    case, settings = event.case, event.place.settings
    job = {"seed": settings.seed, "history_texts": settings.history_texts}
    workload = Workload.of_job(bundle, {**job, "tokens": case.tokens})
    with serving(case, bundle, address=None, rest_address=None) as engine:
        if keep:
            event.keep(engine)
        with Recommender(engine.address) as client:
            width = client.describe()[case.model].history_items
        requests = workload.requests(case.model, case.batch_rows, history_width=width)
        with GrpcTarget(engine.address, requests, deadline_s=settings.deadline_s) as target:
            target.connect()
            samples = _asked(target, case.requests + case.steady_requests)
            check_answer(case.model, case.batch_rows, target.first_answer())
    return samples, engine.engine


def _asked(target: GrpcTarget, count: int) -> Samples:
    instants, status = np.zeros((count, 2), dtype=np.int64), []
    for number in range(count):
        instants[number, 0] = time.monotonic_ns()
        status.append(target.call(number))
        instants[number, 1] = time.monotonic_ns()
    sent_ns, done_ns = instants.T.copy()
    return Samples(sent_ns, sent_ns, done_ns, np.array(status, dtype=np.str_))
