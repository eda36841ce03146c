"""The corners of quick-look on a small bundle: a real server, a real SavedModel, real LiteRT."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

from dualtower.bundle import Bundle
from dualtower.errors import BundleError, UnavailableError
from dualtower_benchmarks.cli import bench
from dualtower_benchmarks.drivers.litert_driver import LiteRtTarget
from dualtower_benchmarks.load.process import LoadProcess, ProcessInTurn
from dualtower_benchmarks.load.raw_store import read_raw
from dualtower_benchmarks.report import write_report
from dualtower_benchmarks.schema import results_schema

SHORT = (
    "--set", "sweep.engine=embedded", "--set", "sweep.measured_s=0.2",
    "--set", "sweep.warmup_s=0.05", "--set", "sweep.slo_p99_ms=20000.0",
)  # fmt: skip


@pytest.fixture(scope="module")
def measured(
    small_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("bench") / "bench.json"
    command = ["all", str(small_bundle.path), "--quick", "--out", str(out), *SHORT]
    done = CliRunner().invoke(bench, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == str(out)
    document = json.loads(out.read_text())
    jsonschema.Draft202012Validator(results_schema()).validate(document)
    return out, document


@pytest.mark.slow
def test_every_corner_is_there(measured) -> None:
    out, document = measured
    rows = document["points"]
    grpc = [row for row in rows if row["driver"] == "grpc"]
    assert sorted((r["model"], r["batch_rows"], r["loop"], r["concurrency"]) for r in grpc) == [
        (model, batch, loop, clients)
        for model in ("item_tower", "recommender")
        for batch in (1, 16)
        for loop, clients in (("closed", 1), ("closed", 4), ("open", 1))
    ]
    assert {(r["model"], r["variant"], r["threads"]) for r in rows if r["driver"] == "litert"} == {
        ("item_tower", "float32", 1), ("item_tower", "float32", 2), ("user_tower", "float32", 1),
    }  # fmt: skip
    alone = [row for row in rows if row["driver"] == "saved_model"]
    assert [row["batch_rows"] for row in alone if row["device"] == "CPU"] == [1, 16]
    assert len(alone) + len(document["absent"]) == 4
    for row in rows:
        assert row["errors"] == {}
        assert row["n"] >= 6
        assert row["p50_ms"]["low"] <= row["p50_ms"]["value"] <= row["p50_ms"]["high"]
        assert row["rows_per_s"] == pytest.approx(row["achieved_qps"] * row["batch_rows"])
    (server,) = document["servers"]
    assert server["engine"] == "embedded"
    assert server["started_for_this_run"] is True
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "bench.json", "bench.samples.parquet",
    ]  # fmt: skip


@pytest.mark.slow
def test_open_loops_offer_half_of_the_capacity(measured) -> None:
    _, document = measured
    rows = document["points"]
    for row in rows:
        if row["loop"] == "open":
            capacity_qps = max(
                other["achieved_qps"]
                for other in rows
                if other["loop"] == "closed" and other["subject"] == row["subject"]
            )
            # the schedule is drawn: as many arrivals as came, a fifth of a second long
            due = 0.5 * capacity_qps * 0.25
            assert abs(row["offered_qps"] * 0.25 - due) < 6 * np.sqrt(due)


@pytest.mark.slow
def test_raw_data_gives_the_rows_again(measured) -> None:
    out, document = measured
    raw = read_raw(out.with_name(document["raw_file"]))
    assert sorted(raw) == [row["point"] for row in document["points"]]
    for row in document["points"]:
        latency_ns = raw[row["point"]].measured.latency_ns
        assert len(latency_ns) == row["n"]
        assert row["p50_ms"]["value"] == pytest.approx(
            np.percentile(latency_ns, 50, method="inverted_cdf") / 1e6
        )


@pytest.mark.slow
def test_report_reads_it(measured, small_bundle: Bundle, tmp_path: Path) -> None:
    out, document = measured
    written = write_report([out], bundle=small_bundle.path, out=tmp_path / "r.html")
    points = len(document["points"])
    assert any(f"of {points} points 0 are void" in text for text in written.findings)
    assert any("p50 of one client by a server over" in text for text in written.findings)


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_is_named(small_bundle: Bundle, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(small_bundle.path, broken)
    (broken / "serving" / "item_tower" / "1" / "saved_model.pb").write_bytes(b"nothing")
    job = {"driver": "saved_model", "bundle": str(broken), "batch_rows": 1}
    with pytest.raises(UnavailableError, match="the load on saved_model ended"):
        LoadProcess(job)


def test_one_process_takes_drivers_in_turn(small_bundle: Bundle) -> None:
    job = {"driver": "litert", "bundle": str(small_bundle.path), "batch_rows": 1}
    job |= {"model": "user_tower"}
    with ProcessInTurn() as processes:
        first = processes.open({**job, "variant": "float32", "threads": 1})
        pid = first.pid
        with pytest.raises(UnavailableError, match="no user_tower of variant 'none'"):
            processes.open({**job, "variant": "none"})
        again = processes.open({**job, "variant": "float32", "threads": 2})
        assert again.pid == pid
        assert again.facts["threads"] == 2


def test_edge_files_compute_on_their_inputs(small_bundle: Bundle) -> None:
    items = np.array([[1, 2, 3, 4], [10, 20, 30, 40]], np.float32)
    target = LiteRtTarget(
        small_bundle.edge_path / "user_tower.float32.tflite",
        [{"items": items[:rows], "mask": np.ones(rows, np.float32)} for rows in (2, 1)],
        threads=1,
    )
    assert target.embed(0).tolist() == [[11, 22, 33, 44]]
    assert target.embed(1).tolist() == [[1, 2, 3, 4]]
    assert target.embed(2).tolist() == target.embed(0).tolist()


def test_edge_files_of_another_shape_are_refused(small_bundle: Bundle, tmp_path: Path) -> None:
    path = small_bundle.edge_path / "user_tower.float32.tflite"
    with pytest.raises(BundleError, match="expected"):
        LiteRtTarget(path, [{"ids": np.zeros(8, np.int32)}], threads=1)
    long = {"items": np.zeros((99, 4), np.float32), "mask": np.zeros(99, np.float32)}
    with pytest.raises(BundleError, match=r"room for .* got \[99"):
        LiteRtTarget(path, [long], threads=1)
    (tmp_path / "broken.tflite").write_bytes(b"TFL3 no model")
    with pytest.raises(BundleError, match="LiteRT cannot read"):
        LiteRtTarget(tmp_path / "broken.tflite", [long], threads=1)
