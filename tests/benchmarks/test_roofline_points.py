"""Roofs and points by hand; peaks of small sizes by the real processes; the panel's words."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from dualtower.bundle import Bundle
from dualtower.errors import UsageError
from dualtower_benchmarks.machine import machine_facts
from dualtower_benchmarks.peer import Peer
from dualtower_benchmarks.report.scenario.roofline_figure import roofline_panel
from dualtower_benchmarks.roofline.bundle import with_roofline
from dualtower_benchmarks.roofline.peaks import PeakSettings, best_of
from dualtower_benchmarks.roofline.points import ROOFLINE_KEYS, roof_gflops, roofline_fields
from dualtower_benchmarks.roofline.requests_file import read_requests, write_requests
from dualtower_benchmarks.roofline.table import roofline_tables
from dualtower_clients.codec import encode
from dualtower_clients.proto.inference_pb2 import PredictRequest

COUNT = {
    "flops_per_row": 2e6,
    "bytes_per_row": 1e6,
    "least_bytes_per_row": 5e5,
    "intensity": 2.0,
    "counted_rows": 64,
}


def peak(kind: str, threads: int, value: float) -> dict[str, Any]:
    unit = "gbytes_per_s" if kind == "memory" else "gflops"
    found = {"value": value, "low": value - 1, "high": value + 1, "best": value + 2, "n": 9}
    return {"kind": kind, "threads": threads, unit: found}


PEAKS = {
    "peaks": [
        peak("tensorflow_float32", 1, 50.0),
        peak("numpy_float32", 2, 100.0),
        peak("tensorflow_bfloat16", 2, 400.0),
        peak("memory", 1, 10.0),
        peak("memory", 2, 20.0),
    ],
    "turns": 9,
    "matrix_size": 1536,
    "array_bytes": 1 << 30,
    "last_cache_bytes": 1 << 25,
    "array_to_cache": 32.0,
}


def test_the_roof_bends_at_the_ridge() -> None:
    assert roof_gflops(100.0, 20.0, 2.0) == 40.0
    assert roof_gflops(100.0, 20.0, 5.0) == 100.0
    assert roof_gflops(100.0, 20.0, 50.0) == 100.0


def test_the_best_median_of_each_kind_makes_the_roof() -> None:
    assert best_of(PEAKS) == (100.0, 20.0)
    assert best_of(PEAKS, precision="bfloat16") == (400.0, 20.0)
    assert best_of(PEAKS, precision="float16") is None


def test_a_point_by_hand() -> None:
    fields = roofline_fields(COUNT, PEAKS, rows_per_s=5000.0)
    assert fields["achieved_gflops"] == 10.0  # 5000 · 2 MFLOP
    assert fields["roof_gflops"] == 40.0
    assert fields["share_of_peak"] == 0.1
    assert set(fields) == set(ROOFLINE_KEYS)


def test_what_is_not_known_is_null() -> None:
    assert set(roofline_fields(None, PEAKS, rows_per_s=1.0).values()) == {None}
    on_gpu = roofline_fields(COUNT, None, rows_per_s=5000.0)
    assert on_gpu["flops_per_row"] == 2e6
    assert on_gpu["achieved_gflops"] == 10.0
    assert on_gpu["roof_gflops"] is on_gpu["share_of_peak"] is None
    shorter = roofline_fields({**COUNT, "intensity": None}, PEAKS, rows_per_s=5000.0)
    assert shorter["roof_gflops"] is None
    assert shorter["share_of_peak"] == 0.1


def test_peaks_take_turns_enough_for_an_interval() -> None:
    with pytest.raises(ValueError, match="turns must be at least 6"):
        PeakSettings((1,), turns=5)
    with pytest.raises(ValueError, match="threads must be 1 or more"):
        PeakSettings((0,))


@pytest.mark.parametrize(
    ("kind", "work"), [("numpy_float32", 2 * 64**3), ("memory", 3 * (1 << 20))]
)
def test_a_turn_counts_the_work_of_its_calls(kind: str, work: int) -> None:
    job = {"kind": kind, "matrix_size": 64, "array_bytes": 1 << 20}
    command = [sys.executable, "-m", "dualtower_benchmarks.roofline.peaks_worker"]
    with Peer(kind, command, job, threads=2) as peer:
        assert peer.facts["work_per_call"] == work
        assert peer.ask({"turn": 0})["per_s"] > 0


def document(**changes: Any) -> dict[str, Any]:
    points = [
        {
            "model": model,
            "batch_rows": rows,
            "precision": "float32",
            **roofline_fields(COUNT, PEAKS, rows_per_s=1000.0 * rows),
            "count": COUNT,
        }
        for model in ("item_tower", "recommender")
        for rows in (1, 4)
    ]
    return {"machine": machine_facts(), "roofline": PEAKS, "points": points, **changes}


def test_the_panel_names_every_point_and_the_roof() -> None:
    panel = roofline_panel(document())
    assert panel is not None
    root = ElementTree.fromstring(str(panel.svg))
    label = root.get("aria-label") or ""
    assert "100 GFLOP/s in float32, 20.0 GB/s" in label
    for name, gflops in (("item tower, 1", "2.00"), ("recommender, 4", "8.00")):
        assert f"{name}: {gflops} GFLOP/s at 2.00 FLOP by byte, roof 40.0" in label
    words = " ".join(root.itertext())
    assert "item tower, 4" in words
    assert "roof bfloat16" in words
    assert "n\u00a0=\u00a09" in panel.caption


def test_no_panel_without_peaks_or_points() -> None:
    assert roofline_panel(document(points=[])) is None
    assert roofline_panel({"points": document()["points"]}) is None


def test_the_tables_say_size_and_cache() -> None:
    peaks, points = roofline_tables(document())
    assert "32 × the last cache" in peaks.title
    assert len(points.rows) == 4
    assert points.rows[0][-1] == "2\u00a0%"


def test_requests_come_back_as_they_were(tmp_path: Path) -> None:

    texts = [np.array([["a", ""], ["né", "b"]], object), np.zeros((3, 2), np.int32)]
    path = tmp_path / "requests"
    write_requests(
        path, (PredictRequest(inputs={"x": encode(one)}).SerializeToString() for one in texts)
    )
    first, second = read_requests(path)
    assert [[str(b, "utf-8") for b in row] for row in first["x"].tolist()] == [
        ["a", ""],
        ["né", "b"],
    ]
    np.testing.assert_array_equal(second["x"], texts[1])


@pytest.mark.slow
def test_points_of_a_run_get_the_counts_of_their_graphs(small_bundle: Bundle) -> None:
    row = {
        "driver": "saved_model", "model": "recommender", "batch_rows": 2, "precision": "float32",
        "tokens": "catalogue", "device_found": "CPU", "rows_per_s": 1e6, "n": 10,
    }  # fmt: skip
    run = {
        "bundle": {"fingerprint": small_bundle.fingerprint},
        "scenario": {"settings": {"seed": 7, "history_texts": 3}},
        "points": [
            row,
            {**row, "device_found": "GPU"},
            {**row, "driver": "litert", "model": "user_tower", "variant": "float32"},
            {**row, "driver": "onnxruntime"},
            {**row, "precision": "bfloat16"},
        ],
    }
    joined = with_roofline(run, small_bundle, PEAKS)
    on_cpu, on_gpu, edge, other, shorter = joined["points"]
    count, edge_count = joined["roofline"]["counts"]
    # its only product: [batch, 4] with the transposed vectors of 8 items
    by_op = count["flops_by_op_per_row"]
    assert by_op.get("MatMul", 0) + by_op.get("BatchMatMulV2", 0) == 64
    assert count["counted_rows"] == 64
    assert on_cpu["achieved_gflops"] == pytest.approx(on_cpu["flops_per_row"] * 1e6 / 1e9)
    assert on_cpu["share_of_peak"] == pytest.approx(on_cpu["achieved_gflops"] / 100)
    assert on_gpu["flops_per_row"] == on_cpu["flops_per_row"]
    assert on_gpu["roof_gflops"] is None
    # [1, 6, 4] by a mask, and the sum of the 6: 24 products and 5 · 4 sums
    assert edge["flops_per_row"] == 24 + 20
    assert edge_count["variant"] == "float32"
    assert other["flops_per_row"] is None
    assert shorter["bytes_per_row"] is None
    assert shorter["share_of_peak"] == pytest.approx(shorter["achieved_gflops"] / 400)
    assert json.loads(json.dumps(joined)) == joined


@pytest.mark.slow
def test_results_of_another_bundle_are_refused(small_bundle: Bundle) -> None:
    run = {"bundle": {"fingerprint": "of another"}}
    with pytest.raises(UsageError, match="give the bundle that was measured"):
        with_roofline(run, small_bundle, PEAKS)
