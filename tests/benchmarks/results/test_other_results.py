"""What other commands found, on the page: keys of a results file, and files of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dualtower.errors import UsageError
from dualtower_benchmarks.report.scenario.copies import copies_table
from dualtower_benchmarks.report.scenario.findings import findings_of
from dualtower_benchmarks.report.scenario.findings.machine import copies as copies_finding
from dualtower_benchmarks.report.scenario.findings.machine import roofline as roofline_finding
from dualtower_benchmarks.report.scenario.inputs import Inputs, read_inputs
from dualtower_benchmarks.report.scenario.loadgen import accuracy_table, loadgen_table
from dualtower_benchmarks.report.scenario.loadgen_figure import loadgen_panels
from dualtower_benchmarks.report.scenario.others import Other, kind_of, tables_of
from dualtower_benchmarks.report.scenario.sections import _roofline

MACHINE = {
    "cpu_model": "Some CPU", "usable_cores": 2, "gpu": "no GPU", "load_average_1_min_before": 0.1,
}  # fmt: skip
PEAKS = {
    "turns": 9,
    "peaks": [
        {"kind": "tensorflow_float32", "threads": 2, "gflops": {"value": 100.0}},
        {"kind": "memory", "threads": 2, "gbytes_per_s": {"value": 10.0}},
    ],
}


def test_points_stand_under_the_roof(drawn) -> None:
    (run,) = read_inputs([drawn.path]).runs
    for row in run.document["points"]:
        row |= {
            "flops_per_row": 4e7, "bytes_per_row": 2e7, "least_bytes_per_row": 1e6,
            "intensity": 2.0, "achieved_gflops": row["rows_per_s"] * 0.04, "roof_gflops": 20.0,
            "share_of_peak": row["rows_per_s"] * 0.0004,
        }  # fmt: skip
    run.document["roofline"] = PEAKS
    inputs = type(read_inputs([drawn.path]))([run], [Other("roofline", PEAKS, run.document, "d")])
    section = _roofline(inputs)
    (panel,), (table,) = section.panels, section.folded
    assert "clients in closed loops, 150 requests a second, n\xa0=" in panel.caption
    places = {(run.labels(row), row["batch_rows"]) for row in run.document["points"]}
    assert len(table.rows) == len(places)
    inputs = Inputs([run], [Other("roofline", PEAKS, run.document, "d")])
    text = roofline_finding(inputs)
    best = max(row["share_of_peak"] for row in run.document["points"])
    assert "(100 GFLOP/s in float32, the median of 9 turns)" in text
    assert f"{100 * best:.3g}\xa0%" in text.partition(";")[0]
    assert table.rows[0][1:6] == ("1", "closed, 4 clients", "40.0", "20,000", "2.00")


def test_copies_to_a_card_have_a_table(results) -> None:
    (run,) = read_inputs([results.path]).runs
    table = copies_table(run)
    assert [row[1] for row in table.rows] == ["no GPU here"]
    traced = {
        "batch_rows": 16, "calls": 200, "source": "the profiler's trace", "to_device_share": 0.1,
        "to_host_share": 0.05, "copies_share": 0.15, "copies_exposed_share": 0.12,
        "compute_share": 0.5, "idle_share": 0.38, "to_device_bytes": 400_000,
        "to_host_bytes": None,
    }  # fmt: skip
    results.change(
        lambda d: d.update(copies=[{"batch_rows": 1, "absent": "the trace failed"}, traced])
    )
    inputs = read_inputs([results.path])
    table = copies_table(inputs.runs[0])
    assert table.rows[0] == ("1", *["–"] * 6, "– / –", "–")
    assert table.rows[1][1:4] == ("10\xa0%", "5\xa0%", "15\xa0%")
    assert table.rows[1][-2:] == ("2.00 / –", "200")
    assert table.notes[0] == "Batch 1: the trace failed."
    assert "took 15\xa0% at batch 16 (n\xa0=\xa0200)" in copies_finding(inputs)


LOADGEN_ROW = {
    "key": "a", "scenario": "Server", "driver": "grpc", "model": "item_tower", "variant": "",
    "threads": None, "batch_rows": 1, "offered_qps": 40.0, "valid": True, "reasons": [],
    "result": 39.1, "result_name": "completed_samples_per_s", "p50_ms": 5.0, "p90_ms": 8.0,
    "p99_ms": None, "queries": 1200, "samples_a_query": 1,
}  # fmt: skip


def test_loadgen_has_a_result_only_where_it_is_valid() -> None:
    bad = LOADGEN_ROW | {"key": "b", "valid": False, "reasons": ["p99 above 15 ms"]}
    better = LOADGEN_ROW | {"result": 41.0, "p50_ms": 4.0}
    absent = [
        {"mode": "performance", "scenario": "Offline", "driver": "saved_model", "model": "m",
         "variant": "", "reason": "no GPU here"}
    ]  # fmt: skip
    found = {"rows": [LOADGEN_ROW, bad, better], "absent": absent}
    table = loadgen_table(found, "Some CPU")
    assert [getattr(cells[5], "text", cells[5]) for cells in table.rows] == ["39.1 samples/s", "–"]
    assert table.rows[0][5].detail == "39.1–41.0"
    assert [cells[4] for cells in table.rows] == ["2 of 2", "0 of 1"]
    assert [cells[6] for cells in table.rows] == ["4.00", "5.00"]
    assert [cells[-1] for cells in table.rows] == ["2,400", "1,200"]
    assert table.marked == {1}
    assert table.notes[:-1] == [
        "Server gRPC item_tower: p99 above 15 ms.", "Offline SavedModel m: no GPU here.",
    ]  # fmt: skip
    (panel,) = loadgen_panels(found, "Some CPU", name="x")
    assert "gRPC item_tower, 40/s*" in panel.svg
    assert "1,200 to 2,400 queries a row" in panel.caption
    inputs = Inputs([], [Other("mlperf", found, {"machine": MACHINE}, "f")])
    sentence, others = findings_of(inputs)[:2]
    assert others.startswith("Not valid by LoadGen's own verdict: Server on gRPC item_tower (n")
    assert others.endswith("p99 above 15 ms; on Some CPU, 2 cores, no GPU, load before 0.10.")
    assert sentence.startswith(
        "Of 3 runs of MLPerf LoadGen 2 are valid; gRPC item_tower at batch 1"
    )
    assert "Server 39.1 samples/s (n\xa0=\xa02,400)" in sentence


def test_cosines_of_loadgens_accuracy_run_are_shown() -> None:
    row = {
        "key": "a", "mode": "accuracy", "driver": "litert", "model": "item_tower",
        "variant": "dynamic_int8", "threads": None, "batch_rows": 1, "cosine_min": 0.9812,
        "cosine_floor": 0.99, "valid": False, "reasons": ["the smallest cosine is 0.9812"],
        "reference": "saved_model, float32, CPU", "samples": 256, "rows": 256,
    }  # fmt: skip
    found = {"rows": [], "accuracy": [row, row | {"cosine_min": 0.97}], "absent": []}
    assert loadgen_table(found, "Some CPU") is None
    table = accuracy_table(found, "Some CPU")
    assert table.rows == [
        ("LiteRT item_tower dynamic_int8", "1", "0.970000", "0.990", "0 of 2", "512", "512")
    ]
    assert table.marked == {0}
    assert len(table.notes) == 1
    inputs = Inputs([], [Other("mlperf", found, {"machine": MACHINE}, "f")])
    assert any("smallest cosine" in text and "0.9700" in text for text in findings_of(inputs))


def test_rows_of_any_command_are_a_table() -> None:
    found = {
        "slo_p99_ms": 50.0,
        "searches": [
            {"driver": "grpc", "batch_rows": 1, "rate": {"value": 9.0, "low": 8.0, "high": 9.5}},
            {"driver": "grpc", "batch_rows": 8, "rate": None},
        ],
    }  # fmt: skip
    facts, rows = tables_of(Other("limits", found, {"machine": MACHINE}, "f"))
    assert facts.rows == [("slo p99 ms", "50.0")]
    assert rows.head == ("batch rows", "rate")
    assert (rows.rows[0][1].text, rows.rows[0][1].detail) == ("9.00", "8.00–9.50")
    assert rows.rows[1] == ("8", "–")
    assert rows.notes == ["The same in all: driver grpc."]
    assert "Some CPU, 2 cores, no GPU" in rows.caption


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"machine": MACHINE, "limits": []}, "limits"),
        ({"machine": MACHINE, "kind": "events", "rows": []}, "events"),
        ({"machine": MACHINE, "roofline": {}, "points": [], "bundle": {}}, "roofline"),
    ],
)
def test_files_are_known_by_what_they_hold(
    document: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    assert kind_of(tmp_path / "x.json", document).kind == kind


@pytest.mark.parametrize(
    ("document", "match"),
    [({"limits": []}, "on which machine"), ({"machine": MACHINE}, "no kind that the page knows")],
)
def test_other_files_are_refused(document: dict[str, Any], match: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=match):
        read_inputs([path])
