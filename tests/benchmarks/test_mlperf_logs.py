"""LoadGen's logs of real runs, whole and broken, and what a driver's failures do to its verdict."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.spatial

from dualtower.errors import UnavailableError
from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.mlperf.accuracy import accuracy_row, read_embeddings
from dualtower_benchmarks.mlperf.case import OFFLINE, SCENARIOS, SERVER, SINGLE_STREAM, MlperfCase
from dualtower_benchmarks.mlperf.logs import DETAIL, SUMMARY, read_outcome, read_trace
from dualtower_benchmarks.mlperf.rows import row_of
from dualtower_benchmarks.mlperf.start import need_loadgen, run_loadgen
from dualtower_benchmarks.mlperf.sut import SystemUnderTest
from dualtower_benchmarks.mlperf.table import mlperf_blocks
from dualtower_benchmarks.scenario.blocks import blocks_text


class Quick:
    """A driver that blocks for a millisecond; every `fails`-th request fails. Counts who is in."""

    def __init__(self, *, fails: int = 0) -> None:
        self._fails, self._lock = fails, threading.Lock()
        self.asked = self.inside = self.most_inside = 0

    def connect(self) -> Quick:
        return self

    def call(self, index: int) -> str:
        with self._lock:
            self.asked += 1
            self.inside += 1
            self.most_inside = max(self.inside, self.most_inside)
            failed = bool(self._fails) and self.asked % self._fails == 0
        time.sleep(0.001)
        with self._lock:
            self.inside -= 1
        return "UNAVAILABLE" if failed else "OK"

    def check(self) -> None:
        self.call(0)

    def facts(self) -> dict[str, Any]:
        return {"device": "CPU"}

    def close(self) -> None: ...


class Sending(Quick):
    """The same, asked without waiting; it takes all that comes."""

    def connect(self) -> Sending:
        return self

    def send(self, index: int, done: Callable[[str], None]) -> None:
        threading.Thread(target=lambda: done(self.call(index))).start()


class Sample:
    def __init__(self, number: int) -> None:
        self.id, self.index = number, number % 5


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("kind", [Quick, Sending])
def test_each_sample_is_completed_once(scenario: str, kind: type[Quick]) -> None:
    seen: list[int] = []
    driver = kind()
    with SystemUnderTest(driver, scenario, seen.append, concurrency=3, connections=1) as sut:
        sut.issue([Sample(number) for number in range(40)])
        while len(seen) < 40:
            time.sleep(0.001)
    assert sorted(seen) == list(range(40))
    assert sut.failed() == {}
    assert sut.answered() == 40
    if scenario == OFFLINE:
        assert driver.most_inside <= 3
    elif scenario == SINGLE_STREAM:
        assert driver.most_inside == 1


def test_failures_are_completed_and_counted() -> None:
    seen: list[int] = []
    with SystemUnderTest(
        Quick(fails=4), SERVER, seen.append, concurrency=2, connections=1
    ) as sut:  # fmt: skip
        sut.issue([Sample(number) for number in range(20)])
        while len(seen) < 20:
            time.sleep(0.001)
    assert sut.failed() == {"UNAVAILABLE": 5}
    assert sut.answered() == 15


def test_an_error_that_a_client_throws_stays_off_loadgens_thread() -> None:
    class Throwing(Quick):
        def call(self, index: int) -> str:
            raise ConnectionResetError

    seen: list[int] = []
    with SystemUnderTest(
        Throwing(), SINGLE_STREAM, seen.append, concurrency=1, connections=1
    ) as sut:
        sut.issue([Sample(9)])
    assert seen == [9]
    assert sut.failed() == {"ConnectionResetError": 1}


def ran(driver: Quick, folder: Path, **changes: Any) -> tuple[MlperfCase, dict[str, Any]]:
    pytest.importorskip("mlperf_loadgen")
    folder.mkdir()
    case = MlperfCase(**{"min_duration_s": 0.3, "min_queries": 100, **changes})
    return case, run_loadgen(driver, case, folder, seed=3)


def row(case: MlperfCase, answer: dict[str, Any], folder: Path) -> dict[str, Any]:
    return row_of(case, read_outcome(folder), answer, repeat=0, engine="", log_folder=folder.name)


def test_a_valid_run_has_the_figures_of_the_summary(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    case, answer = ran(Quick(), folder, scenario=SINGLE_STREAM)
    found = row(case, answer, folder)
    summary = (folder / SUMMARY).read_text()
    assert found["valid"]
    assert found["reasons"] == []
    assert "Result is : VALID" in summary
    assert f"90.0th percentile latency (ns) : {round(found['result'] * 1e6)}\n" in summary
    assert f"50.00 percentile latency (ns)   : {round(found['p50_ms'] * 1e6)}\n" in summary
    with_overhead = found["rates"]["qps_with_loadgen_overhead"]
    said = re.search(r"QPS w/ loadgen overhead +: ([0-9.]+)\n", summary)
    assert said is not None
    assert with_overhead == pytest.approx(float(said[1]), rel=1e-5, abs=0.01)  # rounded by both
    assert with_overhead <= found["rates"]["qps_without_loadgen_overhead"]
    assert found["seeds"] == {"qsl": 3, "sample_index": 4, "schedule": 5}
    assert found["queries"] >= 100
    assert found["p99_9_ms"] is None  # LoadGen prints one, of a few hundred queries
    assert found["loadgen_version"].startswith("6.")
    with pytest.raises(UnavailableError, match="holds no query; trace the run"):
        read_trace(folder)


def test_an_invalid_run_has_reasons_and_no_result(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    case, answer = ran(
        Quick(), folder, scenario=SERVER, target_qps=300.0, target_latency_ms=0.5, concurrency=1
    )
    found = row(case, answer, folder)
    assert not found["valid"]
    assert found["result"] is None
    assert found["over_latency_queries"] == found["queries"]
    assert "queries took longer than 0.5 ms" in found["reasons"][0]
    text = blocks_text(mlperf_blocks({"rows": [found], "absent": []}))
    assert "INVALID: Server grpc item_tower, " in text
    assert "samples/s" not in text


def test_a_run_with_failures_is_invalid_whatever_loadgen_says(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    case, answer = ran(Quick(fails=50), folder, scenario=OFFLINE, target_qps=2000.0)
    assert "UNAVAILABLE" in answer["failed"]
    found = row(case, answer, folder)
    assert not found["valid"]
    assert found["result"] is None
    assert "requests failed (UNAVAILABLE" in found["reasons"][-1]
    # nobody waits in Offline: it has no percentiles
    assert found["p50_ms"] is None


def test_logs_that_are_missing_cut_off_or_in_error(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="LoadGen left no log"):
        read_outcome(tmp_path)
    folder = tmp_path / "logs"
    ran(Quick(), folder, scenario=SINGLE_STREAM)
    assert read_outcome(folder).valid
    whole = (folder / DETAIL).read_text()
    (folder / DETAIL).write_text(whole[: whole.index("result_validity")])
    with pytest.raises(UnavailableError, match="stopped before its verdict"):
        read_outcome(folder)
    error = {"key": "error_runtime", "value": "it broke", "metadata": {"is_error": True}}
    (folder / DETAIL).write_text(f"{whole}:::MLLOG {json.dumps(error)}\n")
    outcome = read_outcome(folder)
    assert not outcome.valid
    assert outcome.reasons == ("error_runtime: it broke",)


def test_a_driver_that_answers_nothing_is_no_run(tmp_path: Path) -> None:
    class Silent(Quick):
        def call(self, index: int) -> str:
            return "UNAVAILABLE"

    with pytest.raises(UnavailableError, match=r"answered nothing: \{'UNAVAILABLE'"):
        ran(Silent(), tmp_path / "logs", scenario=SINGLE_STREAM)


def test_without_loadgen_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    with pytest.raises(NotHere, match="pip install 'dualtower\\[bench\\]'"):
        need_loadgen()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"scenario": "Interactive"}, "scenario is one of SingleStream"),
        ({"mode": "fast"}, "mode is one of performance, accuracy"),
        ({"cosine_floor": 0.0}, "cosine_floor must be"),
        ({"concurrency": 0}, "concurrency must be at least 1, got 0"),
        ({"target_qps": -1.0}, "target_qps must be positive, or 0, got -1"),
        ({"target_latency_ms": 0.0}, "target_latency_ms must be positive, got 0"),
        ({"target_percentile": 99.0}, "between 0 and 1, got 99"),
        ({"target_share": 0.0}, r"in \(0, 4\], got 0"),
        ({"max_duration_s": 1.0}, "no run could be valid"),
        ({"device": "TPU"}, "device is CPU or GPU"),
    ],
)
def test_cases_that_cannot_be(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MlperfCase(**values)


class Embedding(Quick):
    """Answers sample n with the n-th of fixed vectors, turned by a little."""

    VECTORS = np.random.default_rng(4).normal(size=(64, 3)).astype(np.float32)

    def __init__(self, *, turned: float = 0.0, wrong: int = -1, breaks: int = -1) -> None:
        super().__init__()
        self._turned, self._wrong, self._breaks = turned, wrong, breaks

    def connect(self) -> Embedding:
        return self

    def embed(self, index: int) -> np.ndarray:
        if index == self._breaks:
            raise ConnectionResetError
        vector = self.VECTORS[index][None]
        return -vector if index == self._wrong else vector + self._turned


def compared(driver: Embedding, tmp_path: Path) -> dict[str, Any]:
    case, _ = ran(Embedding(), tmp_path / "reference", mode="accuracy", scenario=OFFLINE)
    _, answer = ran(driver, tmp_path / "found", mode="accuracy", scenario=OFFLINE)
    found, reference = (read_embeddings(tmp_path / name) for name in ("found", "reference"))
    assert sorted(reference) == list(range(64))
    assert (np.stack([reference[n] for n in range(64)]) == Embedding.VECTORS).all()
    return accuracy_row(case, found, reference, answer, dim=3, repeat=0, log_folder="found")


def test_an_accuracy_run_asks_every_sample_and_finds_the_cosine(tmp_path: Path) -> None:
    row = compared(Embedding(turned=0.02), tmp_path)
    assert row["valid"], row["reasons"]
    turned = Embedding.VECTORS.astype(np.float64) + 0.02
    cosine = [
        1.0 - scipy.spatial.distance.cosine(one, two)
        for one, two in zip(turned, Embedding.VECTORS, strict=True)
    ]
    assert row["cosine_min"] == pytest.approx(min(cosine), abs=1e-6)
    assert row["samples"] == row["rows"] == 64


def test_one_wrong_embedding_of_many_is_found(tmp_path: Path) -> None:
    row = compared(Embedding(wrong=17), tmp_path)
    assert not row["valid"]
    assert row["cosine_min"] == pytest.approx(-1.0, abs=1e-6)
    text = blocks_text(mlperf_blocks({"rows": [], "accuracy": [row], "absent": []}))
    assert "INVALID: accuracy grpc item_tower, the smallest cosine is -1.0000" in text


def test_a_sample_without_an_answer_is_no_accuracy(tmp_path: Path) -> None:
    row = compared(Embedding(breaks=5), tmp_path)
    assert not row["valid"]
    assert row["reasons"] == [
        "1 of 64 samples have no embedding of the reference's size (ConnectionResetError 1)"
    ]


def test_a_driver_without_embeddings_is_not_here(tmp_path: Path) -> None:
    with pytest.raises(NotHere, match="give no embeddings"):
        ran(Quick(), tmp_path / "logs", mode="accuracy", scenario=OFFLINE)
    with pytest.raises(UnavailableError, match="holds no accuracy run"):
        read_embeddings(tmp_path)
