"""LoadGen on an opened driver, in the process of the load: settings in, log files out.

Before it starts, a short closed loop warms the driver up and finds its rate, which LoadGen has to
be told: it prepares its queries by it, and ends early when they run out.
"""

from __future__ import annotations

import importlib.util
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from dualtower.errors import UnavailableError
from dualtower_benchmarks.drivers.driver import Driver, NotHere
from dualtower_benchmarks.load.closed_loop import run_closed_loop
from dualtower_benchmarks.load.priority import real_time
from dualtower_benchmarks.load.workload import DISTINCT_REQUESTS
from dualtower_benchmarks.mlperf.accuracy import run_accuracy
from dualtower_benchmarks.mlperf.case import BULK, SERVER, MlperfCase
from dualtower_benchmarks.mlperf.sut import SystemUnderTest

__all__ = ["need_loadgen", "run_loadgen"]

_CALIBRATION_S = 0.5
_CALIBRATION_WARMUP_S = 0.2
_HEADROOM = 1.3  # of Offline: how much faster than the closed loop it may be, to last long enough


def need_loadgen() -> None:
    """Holds that LoadGen can be imported.

    Raises:
        NotHere: it is not installed.
    """
    if importlib.util.find_spec("mlperf_loadgen") is None:
        raise NotHere(
            "MLPerf LoadGen is not installed; run: pip install 'dualtower[bench]', "
            "or pip install mlcommons-loadgen"
        )


def run_loadgen(
    driver: Driver, case: MlperfCase, folder: Path, *, seed: int, trace: bool = False
) -> dict[str, Any]:
    """Runs one scenario and leaves LoadGen's logs in `folder`.

    Args:
        driver: opened and checked.
        folder: exists.
        seed: of the library; the next two are of the sample indices and of the schedule.
        trace: writes every query into mlperf_log_trace.json, which costs time in the run.

    Returns:
        `calibrated_qps`, `target_qps`, `failed` by name, `answered`, `scheduling`, `facts`; of an
        accuracy run those of `run_accuracy`.

    Raises:
        NotHere: LoadGen is not installed.
        UnavailableError: the driver answered nothing.
    """
    need_loadgen()
    import mlperf_loadgen as loadgen

    log = loadgen.LogSettings()
    log.enable_trace = trace
    log.log_output.outdir = str(folder)
    log.log_output.copy_summary_to_stdout = False
    if case.mode == "accuracy":
        settings = _settings(loadgen, case, 1.0, 1.0, seed)
        return run_accuracy(loadgen, driver, case, settings, log)
    calibrated_qps = _calibrated_qps(driver, case)
    target_qps = _target_qps(case, calibrated_qps)

    def complete(response: int) -> None:
        loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(response, 0, 0)])

    # the clients' own threads belong inside, or they hold up the one that keeps the schedule
    scheduled = real_time() if case.scenario == SERVER else nullcontext("default")
    with scheduled as scheduling, SystemUnderTest(
        driver,
        case.scenario,
        complete,
        concurrency=case.concurrency,
        connections=case.connections,
    ) as sut:  # fmt: skip
        # requests are prepared when a driver is opened: there is nothing to load or unload
        library = loadgen.ConstructQSL(
            DISTINCT_REQUESTS, DISTINCT_REQUESTS, lambda _: None, lambda _: None
        )
        system = loadgen.ConstructSUT(sut.issue, lambda: None)
        try:
            loadgen.StartTestWithLogSettings(
                system, library, _settings(loadgen, case, calibrated_qps, target_qps, seed), log
            )
        finally:
            loadgen.DestroySUT(system)
            loadgen.DestroyQSL(library)
    return {
        "calibrated_qps": calibrated_qps,
        "target_qps": target_qps if case.scenario in BULK else None,
        "failed": sut.failed(),
        "answered": sut.answered(),
        "scheduling": scheduling,
        "facts": driver.facts(),
    }


def _calibrated_qps(driver: Driver, case: MlperfCase) -> float:
    clients = [driver.connect() for _ in range(case.concurrency if case.scenario in BULK else 1)]
    samples = run_closed_loop(
        clients, duration_s=_CALIBRATION_S, warmup_s=_CALIBRATION_WARMUP_S, at_least=3
    )
    if not len(samples.latency_ns):
        raise UnavailableError(
            f"the {case.driver} driver answered nothing: {samples.errors or 'no request was sent'}"
        )
    return len(samples.latency_ns) / samples.elapsed_s


def _target_qps(case: MlperfCase, calibrated_qps: float) -> float:
    if case.target_qps:
        return case.target_qps
    return calibrated_qps * (case.target_share if case.scenario == SERVER else _HEADROOM)


def _settings(
    loadgen: Any, case: MlperfCase, calibrated_qps: float, target_qps: float, seed: int
) -> Any:
    settings = loadgen.TestSettings()
    settings.scenario = getattr(loadgen.TestScenario, case.scenario)
    accuracy = case.mode == "accuracy"
    modes = loadgen.TestMode
    settings.mode = modes.AccuracyOnly if accuracy else modes.PerformanceOnly
    settings.min_duration_ms = round(case.min_duration_s * 1e3)
    settings.max_duration_ms = round(case.max_duration_s * 1e3)
    settings.min_query_count = case.min_queries
    settings.qsl_rng_seed = seed
    settings.sample_index_rng_seed = seed + 1
    settings.schedule_rng_seed = seed + 2
    # half of what is expected: LoadGen ends early when the queries that it prepared run out
    expected_ns = round(0.5e9 / calibrated_qps)
    settings.single_stream_expected_latency_ns = expected_ns
    settings.multi_stream_expected_latency_ns = expected_ns * case.samples_per_query
    settings.multi_stream_samples_per_query = case.samples_per_query
    settings.server_target_qps = target_qps
    settings.server_target_latency_ns = round(case.target_latency_ms * 1e6)
    settings.server_target_latency_percentile = case.target_percentile
    settings.single_stream_target_latency_percentile = 0.9
    settings.multi_stream_target_latency_percentile = case.target_percentile
    settings.offline_expected_qps = target_qps
    return settings
