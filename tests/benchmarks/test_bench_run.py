"""A whole run on a small real bundle: a real server, a real SavedModel, real LiteRT."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualtower.bundle import Bundle
from dualtower.errors import BundleError, BundleMismatch, UnavailableError
from dualtower_benchmarks.bench_run import SCHEMA, read_bench, run_bench
from dualtower_benchmarks.edge import LiteRtTarget
from dualtower_benchmarks.in_process import measure_in_process
from dualtower_benchmarks.points import Points
from dualtower_benchmarks.raw_store import read_raw
from dualtower_benchmarks.report import write_report
from dualtower_benchmarks.settings import BenchConfig
from dualtower_benchmarks.workload import Workload
from dualtower_clients import ServerUnreachable
from dualtower_serving import RunningServer, start

pytestmark = pytest.mark.slow

CONFIG = BenchConfig(
    batches=(1, 4),
    concurrency=(1, 2),
    point_s=0.2,
    warmup_s=0.05,
    open_s=0.3,
    open_attempts=1,
    edge_threads=(1, 2),
    edge_s=0.1,
    in_process_s=0.2,
    engine="embedded",
    lag_floor_ms=1000.0,
)


@pytest.fixture(scope="module")
def server(small_bundle: Bundle) -> Iterator[RunningServer]:
    with start(small_bundle, engine="embedded") as running:
        yield running


@pytest.fixture(scope="module")
def measured(
    small_bundle: Bundle, server: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("bench") / "bench.json"
    document = run_bench(
        small_bundle.path, config=CONFIG, out=out, address=server.address, engine=server.engine
    )
    return out, document


def test_document_on_disk_is_the_document(measured) -> None:
    out, document = measured
    assert read_bench(out) == json.loads(json.dumps(document))
    assert document["schema"] == SCHEMA
    assert document["server"]["engine"] == "embedded"
    assert document["server"]["started_for_this_run"] is False
    assert document["server"]["model_versions"] == {
        "user_tower": 1, "item_tower": 1, "recommender": 1,
    }  # fmt: skip
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "bench.json", "bench.samples.parquet",
    ]  # fmt: skip


def test_every_point_of_the_grid_is_there(measured) -> None:
    _, document = measured
    rows = document["points"]
    assert [row["point"] for row in rows] == list(range(len(rows)))
    server = [row for row in rows if row["part"] == "server"]
    assert [
        (row["model"], row["batch_rows"], row["loop"], row["concurrency"]) for row in server
    ] == [
        (model, batch, loop, clients)
        for model in ("recommender", "item_tower")
        for batch in (1, 4)
        for loop, clients in (("closed", 1), ("closed", 2), ("open", None))
    ]
    assert [(r["model"], r["threads"]) for r in rows if r["part"] == "edge"] == [
        ("item_tower", 1), ("item_tower", 2), ("user_tower", 1), ("user_tower", 2),
    ]  # fmt: skip
    assert [r["batch_rows"] for r in rows if r["part"] == "in_process"] == [1, 4]
    for row in rows:
        assert row["errors"] == {}
        assert row["n"] >= 6
        assert row["p50_ms"]["low"] <= row["p50_ms"]["value"] <= row["p50_ms"]["high"]
        assert row["rows_per_s"] == pytest.approx(row["achieved_qps"] * row["batch_rows"])


def test_open_loops_offer_half_of_the_capacity(measured) -> None:
    _, document = measured
    rows = document["points"]
    for row in rows:
        if row["loop"] == "open":
            capacity = max(
                other["achieved_qps"]
                for other in rows
                if other["loop"] == "closed"
                and (other["part"], other["model"], other["batch_rows"])
                == (row["part"], row["model"], row["batch_rows"])
            )
            assert row["offered_qps"] == pytest.approx(0.5 * capacity)


def test_raw_data_gives_the_rows_again(measured) -> None:
    out, document = measured
    raw = read_raw(out.with_name(document["raw_file"]))
    assert sorted(raw) == [row["point"] for row in document["points"]]
    for row in document["points"]:
        latency_ns = raw[row["point"]].latency_ns
        assert len(latency_ns) == row["n"]
        assert row["p50_ms"]["value"] == pytest.approx(
            np.percentile(latency_ns, 50, method="inverted_cdf") / 1e6
        )


def test_devices_are_what_tensorflow_said(measured) -> None:
    _, document = measured
    found = document["in_process"]
    assert all(name.startswith("CPU") for name in found["CPU"]["placed_on"])
    if found["CPU"]["gpus"]:
        assert all(name.startswith("GPU") for name in found["GPU"]["placed_on"])
    else:
        assert found["GPU"] == "no GPU"
        assert {row["device"] for row in document["points"]} == {"CPU"}
    assert {ratio["reference_point"] for ratio in document["ratios"]} <= {
        row["point"] for row in document["points"] if row["part"] == "in_process"
    }


def test_report_reads_it(measured, small_bundle: Bundle, tmp_path: Path) -> None:
    out, document = measured
    written = write_report(run=None, bundle=small_bundle.path, bench=out, out=tmp_path / "r.html")
    asked = sum(row["n"] for row in document["points"])
    assert any(f"Of {asked:,} measured calls 0 failed" in text for text in written.findings)


def test_a_server_is_started_and_stopped(small_bundle: Bundle, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, models=("item_tower",), batches=(1,), concurrency=(1,))
    document = run_bench(
        small_bundle.path, config=config, out=tmp_path / "bench.json", parts=["server"]
    )
    assert document["server"]["started_for_this_run"] is True
    assert document["edge"] == document["in_process"] == {"absent": "not asked for in this run"}
    with pytest.raises(ServerUnreachable):
        run_bench(
            small_bundle.path, config=config, out=tmp_path / "again.json", parts=["server"],
            address=document["server"]["address"],
        )  # fmt: skip
    assert not (tmp_path / "again.json").exists()


def test_another_bundle_than_the_servers_is_refused(
    small_bundle: Bundle, server: RunningServer, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(small_bundle.path, other)
    manifest = json.loads((other / "bundle.json").read_text()) | {"fingerprint": "f" * 64}
    (other / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleMismatch):
        run_bench(
            other, config=CONFIG, out=tmp_path / "bench.json", parts=["server"],
            address=server.address,
        )  # fmt: skip


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


def test_a_model_that_cannot_be_loaded_is_named(small_bundle: Bundle, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(small_bundle.path, broken)
    (broken / "serving" / "item_tower" / "1" / "saved_model.pb").write_bytes(b"nothing")
    bundle = Bundle.open(broken)
    workload = Workload.of(bundle, seed=1, history_texts=3)
    with pytest.raises(UnavailableError, match="cannot be measured on the CPU"):
        measure_in_process(bundle, workload, Points(CONFIG))
