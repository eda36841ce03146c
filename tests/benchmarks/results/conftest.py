"""Results of a scenario whose latencies are drawn: rows and raw files come from the real code."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualtower_benchmarks.devices.against import against_as_json
from dualtower_benchmarks.devices.watched import Watched, window_of, with_found
from dualtower_benchmarks.load.raw_store import write_raw
from dualtower_benchmarks.load.run import LoadRun
from dualtower_benchmarks.load.samples import SKIPPED, Samples
from dualtower_benchmarks.machine import machine_facts
from dualtower_benchmarks.pace.summary import pace_of
from dualtower_benchmarks.scenario.case import Case
from dualtower_benchmarks.scenario.rows import row_of
from dualtower_benchmarks.scenario.scenario import Scenario, read_scenario
from dualtower_benchmarks.stats.noise import noise_of

SCENARIO = """
[scenario]
title = "Drawn latencies"
repeats = 3

[[sweep]]
driver = ["grpc", "saved_model"]
batch_rows = [1, 16]
loop = "closed"
concurrency = [1, 4]
warmup_s = 0.5
measured_s = 4.0

[[sweep]]
driver = "grpc"
batch_rows = [1, 16]
rate_qps = [20.0, 100.0, 150.0]
warmup_s = 0.5
measured_s = 5.0

[[sweep]]
driver = "litert"
variant = ["float32", "dynamic_int8"]
threads = [1, 2]
loop = "closed"
warmup_s = 0.5
measured_s = 4.0

[[sweep]]
driver = "saved_model"
device = "GPU"
loop = "closed"
warmup_s = 0.5
measured_s = 4.0
"""
UNWATCHED = Watched({}, cards="no GPU here", cpu_energy="not readable", server=None, generator=None)
SERVICE_MS = {"grpc": 6.0, "saved_model": 5.0, "litert": 8.0}


@dataclass(frozen=True)
class ResultsFile:
    """A results file with its raw data beside it, and ways to doctor it."""

    path: Path

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.path.read_text())

    @property
    def raw_path(self) -> Path:
        return self.path.with_name(self.document["raw_file"])

    def change(self, edit: Callable[[dict[str, Any]], None]) -> None:
        document = self.document
        edit(document)
        self.path.write_text(json.dumps(document))


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> ResultsFile:
    """12 gRPC and in-process closed loops, open ones of which the fastest are void, no GPU."""
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "drawn.toml").write_text(SCENARIO)
    return ResultsFile(_written(read_scenario(folder / "drawn.toml"), folder / "drawn.json"))


@pytest.fixture
def results(drawn: ResultsFile, tmp_path: Path) -> ResultsFile:
    """The same, for a test that changes it."""
    copy = tmp_path / drawn.path.name
    copy.write_bytes(drawn.path.read_bytes())
    drawn_raw = drawn.raw_path
    copy.with_name(drawn_raw.name).write_bytes(drawn_raw.read_bytes())
    return ResultsFile(copy)


def _written(scenario: Scenario, out: Path) -> Path:
    generator = np.random.default_rng(11)
    rows: list[dict[str, Any]] = []
    raw: list[Samples] = []
    for repeat in range(scenario.settings.repeats):
        for case in scenario.cases:
            if case.device == "GPU":
                continue
            samples = _samples(case, generator)
            row, _ = row_of(
                case,
                LoadRun(samples, "default"),
                {"device": "unknown" if case.driver == "grpc" else "CPU"},
                repeat=repeat,
                engine="embedded" if case.driver == "grpc" else "",
                offered_qps=case.rate_qps if case.loop == "open" else None,
                confidence=scenario.settings.confidence,
            )
            found = UNWATCHED.fields(row, window_of(samples.measured), served=not case.threads)
            rows.append({**with_found(row, found), "attempt": 0})
            raw.append(samples.with_warmup(row["warmup_left_out_s"]))
    raw_path = out.with_name(f"{out.stem}.samples.parquet")
    write_raw(raw_path, raw)
    document = {
        "schema": 2,
        "scenario": scenario.as_json(),
        "created": "2026-11-30T10:05:00+00:00",
        "command": "dualtower bench run drawn.toml bundle",
        "bundle": {"fingerprint": "0123456789abcdef" * 4, "version": 3},
        "machine": machine_facts() | {"gpu": "no GPU", "cpu_model": "Some CPU", "cpu_flags": []},
        "git_commits": ["a" * 40],
        "devices": {"cards": "no GPU here", "cpu_energy": "not readable", "interval_s": 0.1},
        "copies": [],
        "servers": [
            {"engine": "embedded", "address": "127.0.0.1:8500", "batching": "bundle", "flags": "",
             "command": ["dualtower-model-server"], "started_for_this_run": True}
        ],
        "points": [{"point": number, **row} for number, row in enumerate(rows)],
        "absent": [
            {**case.as_json(), "reason": "no GPU here"}
            for case in scenario.cases
            if case.device == "GPU"
        ],
        "raw_file": raw_path.name,
        "noise": noise_of(rows),
        "pace": pace_of([_take(number, row) for number, row in enumerate(rows)]),
        "wall_s": 200.0,
    }  # fmt: skip
    document["gpu_against_cpu"] = against_as_json(document)
    out.write_text(json.dumps(document, indent=1))
    return out


def _take(number: int, row: dict[str, Any]) -> dict[str, Any]:
    """Half as slow again around four cases of the first repeat, a minute from one to the next."""
    slow = 1.5 if number in (3, 4, 5, 6) else 1.0
    times = {"at_s": 1e9 + 60.0 * number, "compute_ms": 40.0 * slow, "copy_ms": 10.0}
    return {"key": row["key"], "repeat": row["repeat"], **times}


def _samples(case: Case, generator: np.random.Generator) -> Samples:
    """A first half second that is twice as long, then a plateau; 150 a second is too much."""
    service_ms = SERVICE_MS[case.driver] * (1 + 0.1 * (case.batch_rows - 1)) / (case.threads or 1)
    load_s = case.warmup_s + case.measured_s
    if case.loop == "open":
        due_ns = (np.arange(1, int(load_s * case.rate_qps)) * 1e9 / case.rate_qps).astype(np.int64)
        crowded = 1 + (case.rate_qps / 100) ** 3
    else:
        in_turn = int(load_s * 1e3 * case.concurrency / (service_ms * case.concurrency**0.8))
        due_ns = np.linspace(0, load_s * 1e9, in_turn).astype(np.int64)
        crowded = case.concurrency**0.8
    drawn_ms = service_ms * crowded * generator.lognormal(0, 0.3, len(due_ns))
    latency_ns = (drawn_ms * np.where(due_ns < 0.5e9, 2.0, 1.0) * 1e6).astype(np.int64)
    lag_ns = np.full(len(due_ns), 20_000 if case.rate_qps < 150 or case.batch_rows > 1 else 9e6)
    sent_ns = due_ns + (lag_ns.astype(np.int64) if case.loop == "open" else 0)
    status = np.full(len(due_ns), "OK", dtype="<U20")
    if case.rate_qps == 150:
        status[-3:] = "DEADLINE_EXCEEDED"
        status[-5:-3] = SKIPPED
    done_ns = np.where(status == SKIPPED, due_ns, np.maximum(sent_ns, due_ns + latency_ns))
    sent_ns = np.where(status == SKIPPED, due_ns, sent_ns)
    return Samples(due_ns, sent_ns, done_ns, status)
