"""More than a server can do: a closed loop finds what it can, open loops ask for up to twice that.

Requests carry their deadline, as those of an application do; goodput is judged by it, so it is 5 %
of the deadline that the generator may lag. After the highest share the same load
goes on at half the capacity, which shows how long the server takes to be itself again.

The generator is Python, whose interpreter has one core: where it took most of one, answers may have
waited in it, and a load is void even if every request was sent in time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower_benchmarks.devices.cpu_time import ProcessTree
from dualtower_benchmarks.devices.fields import cores
from dualtower_benchmarks.devices.meter import Meter
from dualtower_benchmarks.devices.sensors import CpuTimeSensor
from dualtower_benchmarks.devices.series import Window
from dualtower_benchmarks.events.goodput import goodput_of, judged
from dualtower_benchmarks.events.loads import capacity_of
from dualtower_benchmarks.events.measured import Event, Measured
from dualtower_benchmarks.events.recovery import recovered_s
from dualtower_benchmarks.events.windows import part_of, within
from dualtower_benchmarks.load.arrivals import poisson
from dualtower_benchmarks.load.load import Load
from dualtower_benchmarks.load.process import LoadProcess
from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.scenario.jobs import job_of

__all__ = ["MOST_GENERATOR_CORES", "RECOVERY_SHARE", "busy_reason", "measure", "phases_ns"]

RECOVERY_SHARE = 0.5
MOST_GENERATOR_CORES = 0.9


def measure(event: Event) -> Measured:
    """Asks for each share of the capacity in turn, and goes on at half of it after the last."""
    case, place = event.case, event.place
    shares = case.shares_of_capacity
    with place.server(case) as engine:
        event.keep(engine)
        job = job_of(case, place.bundle, place.settings, engine)
        steps: list[dict[str, Any]] = []
        loads: list[Samples] = []
        recovery: dict[str, Any] = {}
        with LoadProcess(job) as process:
            capacity_qps = capacity_of(case, process)
            process.open({**job, "deadline_s": case.deadline_ms / 1e3})
            for number, share in enumerate(shares):
                is_last = number == len(shares) - 1
                phases = [(share * capacity_qps, case.warmup_s + case.measured_s)]
                phases += [(RECOVERY_SHARE * capacity_qps, case.recovery_s)] if is_last else []
                busy = {
                    "generator_cores": CpuTimeSensor(ProcessTree(process.pid)),
                    "server_cores": CpuTimeSensor(ProcessTree(engine.process_id))
                    if engine.process_id
                    else None,
                }
                with Meter([sensor for sensor in busy.values() if sensor is not None]):
                    samples = _ran(event, process, phases, seed=event.seed + 10 * number)
                loads.append(samples)
                steps.append({"share": share, **_step(event, samples, busy)})
                if is_last:
                    recovery = _recovery(event, samples)
    return Measured(
        {
            "steps": steps,
            "deadline_ms": case.deadline_ms,
            **judged(steps, floor=case.goodput_floor),
            "floor": case.goodput_floor,
            "recovery": recovery,
        },
        loads=loads,
        engine=engine.engine,
        capacity_qps=capacity_qps,
        void=steps[-1]["void"],
    )


def phases_ns(phases: Sequence[tuple[float, float]], *, seed: int) -> npt.NDArray[np.int64]:
    """Poisson arrivals whose rate changes by (requests a second, seconds); the first at 0."""
    parts, begin_ns = [], 0
    for number, (rate_qps, seconds) in enumerate(phases):
        parts.append(poisson(rate_qps, seconds, seed=seed + number) + begin_ns)
        begin_ns += int(seconds * 1e9)
    joined = np.concatenate(parts)
    return joined - joined[0] if len(joined) else joined


def _ran(
    event: Event, process: LoadProcess, phases: Sequence[tuple[float, float]], *, seed: int
) -> Samples:
    case = event.case
    due_ns = phases_ns(phases, seed=seed)
    with tempfile.TemporaryDirectory(prefix="dualtower-event-") as folder:
        trace = Path(folder, "arrivals.txt")
        trace.write_text("".join(f"{at / 1e9:.9f}\n" for at in due_ns.tolist()), encoding="ascii")
        load = Load(
            arrivals="trace",
            trace=str(trace),
            connections=case.connections,
            max_in_flight=case.max_in_flight,
            # a trace that is shorter than its load begins anew
            measured_s=max(0.001, due_ns[-1] / 1e9 + 1e-6),
            warmup_s=0.0,
        )
        return process.run(load).samples


def busy_reason(generator_cores: float | None) -> str | None:
    """Why a load tells about the generator, though it kept every instant; None: it does not."""
    if generator_cores is None or generator_cores <= MOST_GENERATOR_CORES:
        return None
    return (
        f"the generator took {generator_cores:.2f} cores, the limit is {MOST_GENERATOR_CORES:g}: "
        "answers may have waited in it"
    )


def _step(
    event: Event, samples: Samples, busy: Mapping[str, CpuTimeSensor | None]
) -> dict[str, Any]:
    case = event.case
    begin_ns = int(samples.due_ns.min()) + int(case.warmup_s * 1e9)
    window = (begin_ns, begin_ns + int(case.measured_s * 1e9))
    counted = goodput_of(
        within(samples, [window]), seconds=case.measured_s, deadline_ms=case.deadline_ms
    )
    part = part_of(
        samples,
        [window],
        slo_p99_ms=case.deadline_ms,
        confidence=event.place.settings.confidence,
        seed=event.place.settings.seed,
    )
    # the last request may be due before the window's end, and readings end with the load
    loaded = begin_ns, min(window[1], int(samples.done_ns.max()))
    taken = {name: _cores(sensor, loaded) for name, sensor in busy.items()}
    void = part["void"] or busy_reason(taken["generator_cores"])
    levels = {name: part[name] for name in ("n", "p50_ms", "p99_ms", "lag_p99_ms")}
    if void is not None:
        counted["goodput_qps"] = levels["p50_ms"] = levels["p99_ms"] = None
    return {**counted, **levels, **taken, "void": void}


def _cores(sensor: CpuTimeSensor | None, window: tuple[int, int]) -> float | None:
    found = cores(sensor.series(), Window(*window)) if sensor is not None else None
    return None if isinstance(found, str) else found


def _recovery(event: Event, samples: Samples) -> dict[str, Any]:
    case = event.case
    over_ns = int(samples.due_ns.min()) + int((case.warmup_s + case.measured_s) * 1e9)
    until_ns = int(samples.due_ns.max()) + 1
    return {
        "share": RECOVERY_SHARE,
        "seconds": case.recovery_s,
        "until_good_s": recovered_s(
            samples, from_ns=over_ns, until_ns=until_ns, slo_ms=case.slo_p99_ms
        ),
    }
