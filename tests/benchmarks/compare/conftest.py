"""Two results files whose difference is known: latencies are drawn, rows and raw files are real."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.signal import lfilter

from dualtower.cli import main
from dualtower_benchmarks.load.raw_store import write_raw
from dualtower_benchmarks.load.run import LoadRun
from dualtower_benchmarks.load.samples import OK, Samples
from dualtower_benchmarks.scenario.case import Case
from dualtower_benchmarks.scenario.rows import row_of
from dualtower_benchmarks.scenario.scenario import Scenario
from dualtower_benchmarks.scenario.settings import ScenarioSettings
from dualtower_benchmarks.schema import schema_of

SECONDS, RATE_QPS = 10, 150
MACHINE = {
    "cpu_model": "Some CPU", "cpu_flags": ["avx2"], "virtual_machine": False, "logical_cores": 8,
    "physical_cores": 4, "usable_cores": 8, "cpu_quota_cores": None, "cpu_governor": "performance",
    "memory_total_bytes": 16_000_000_000, "memory_available_bytes": 8_000_000_000,
    "memory_limit_bytes": None, "load_average_1_min_before": 0.1, "system": "Linux 6 x86_64",
    "python_version": "3.11.7", "package_versions": {"tensorflow": "2.21.0"},
    "git_commit": "a" * 40, "gpu": "no GPU",
}  # fmt: skip
CASES = (
    Case(driver="saved_model", loop="closed", warmup_s=0.0, measured_s=SECONDS),
    Case(driver="saved_model", loop="closed", batch_rows=16, warmup_s=0.0, measured_s=SECONDS),
    Case(driver="grpc", rate_qps=RATE_QPS, warmup_s=0.0, measured_s=SECONDS),
)


@dataclass(frozen=True)
class ResultsFile:
    """A results file with its raw data beside it, and ways to doctor both."""

    path: Path

    @property
    def raw_path(self) -> Path:
        return self.path.with_name(f"{self.path.stem}.samples.parquet")

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.path.read_text())

    def change(self, edit: Callable[[dict[str, Any]], object]) -> ResultsFile:
        document = self.document
        edit(document)
        self.path.write_text(json.dumps(document))
        return self

    def change_raw(self, edit: Callable[[dict[str, Any]], object]) -> ResultsFile:
        columns = pq.read_table(self.raw_path).to_pydict()
        edit(columns)
        pq.write_table(pa.table(columns), self.raw_path)
        return self


@dataclass(frozen=True)
class Answer:
    """What `dualtower bench compare` said."""

    code: int
    out: str
    err: str

    @property
    def found(self) -> dict[str, Any]:
        """What --json printed, which is as its schema says."""
        document = json.loads(self.out)
        jsonschema.Draft202012Validator(schema_of("compare")).validate(document)
        return document


@pytest.fixture
def compare() -> Callable[..., Answer]:
    """`dualtower bench compare A B OPTIONS` in this process."""

    def of(a: ResultsFile, b: ResultsFile, *options: str) -> Answer:
        code, out, err = 0, io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main(["bench", "compare", str(a.path), str(b.path), *options])
            except SystemExit as error:
                code = int(error.code or 0)
        return Answer(code, out.getvalue(), err.getvalue())

    return of


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ResultsFile]:
    """Writes results once for each set of arguments: `slower` is a factor on every latency by
    case, or one for all; `without` leaves out the first cases."""

    @functools.cache
    def of(
        *,
        seed: int,
        slower: float | tuple[float, ...] = 1.0,
        failing: float = 0.0,
        repeats: int = 2,
        spread: float = 0.01,
        without: int = 0,
    ) -> ResultsFile:
        cases = CASES[without:]
        generator = np.random.default_rng(seed)
        settings = ScenarioSettings(repeats=repeats)
        rows: list[dict[str, Any]] = []
        raw: list[Samples] = []
        for repeat in range(repeats):
            for number, case in enumerate(cases):
                factor = slower if isinstance(slower, float) else slower[number]
                factor *= np.exp(spread * generator.normal())
                drawn = _drawn(case, generator, factor, failing)
                row, samples = row_of(
                    case,
                    LoadRun(drawn, "default"),
                    {"device": "CPU"},
                    repeat=repeat,
                    engine="embedded" if case.driver == "grpc" else "",
                    offered_qps=RATE_QPS if case.loop == "open" else None,
                    confidence=settings.confidence,
                )
                rows.append({**row, "attempt": 0})
                raw.append(samples)
        path = tmp_path_factory.mktemp("drawn") / "drawn.json"
        document = {
            "schema": 2,
            "scenario": Scenario("drawn", settings, cases).as_json(),
            "created": "2026-11-30T10:05:00+00:00",
            "command": "dualtower bench run drawn.toml bundle",
            "bundle": {"fingerprint": "0123456789abcdef" * 4, "version": 3},
            "machine": MACHINE,
            "devices": {},
            "servers": [],
            "points": [{"point": number, **row} for number, row in enumerate(rows)],
            "absent": [],
            "raw_file": "drawn.samples.parquet",
            "wall_s": 1.0,
        }
        path.write_text(json.dumps(document))
        found = ResultsFile(path)
        write_raw(found.raw_path, raw)
        return found

    return of


@pytest.fixture
def write(drawn: Callable[..., ResultsFile], tmp_path: Path) -> Callable[..., ResultsFile]:
    """NAME.json as `drawn` makes it, for a test that may change it."""

    def of(name: str, **arguments: Any) -> ResultsFile:
        made, copy = drawn(**arguments), ResultsFile(tmp_path / f"{name}.json")
        shutil.copyfile(made.raw_path, copy.raw_path)
        shutil.copyfile(made.path, copy.path)
        return copy.change(lambda document: document.update(raw_file=copy.raw_path.name))

    return of


def _drawn(case: Case, generator: np.random.Generator, factor: float, failing: float) -> Samples:
    """Lognormal latencies of 4 ms, the next like the last; closed: one after the other."""
    n = SECONDS * RATE_QPS
    logs = 0.3 * lfilter([0.866], [1.0, -0.5], generator.normal(size=n))
    latency = (4e6 * factor * np.exp(logs)).astype(np.int64)
    if case.loop == "closed":
        due = np.concatenate([[0], np.cumsum(latency[:-1])])
    else:
        due = (np.arange(n) * (1e9 / RATE_QPS)).astype(np.int64)
    status = np.where(generator.random(n) < failing, "UNAVAILABLE", OK)
    return Samples(due, due, due + latency, status)
