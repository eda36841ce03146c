"""Rows, ratios, raw data and the table in the terminal, from known latencies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dualtower_benchmarks.bench_table import bench_table
from dualtower_benchmarks.open_loop import OpenLoopRun
from dualtower_benchmarks.percentiles import ratio_of_percentiles
from dualtower_benchmarks.points import Points, Subject
from dualtower_benchmarks.ratios import ratios_of
from dualtower_benchmarks.raw_store import read_raw, write_raw
from dualtower_benchmarks.samples import Samples
from dualtower_benchmarks.settings import BenchConfig

MS = 1_000_000


def steady(milliseconds: int, n: int, *, failed: int = 0, lag_ms: int = 0) -> Samples:
    """`n` requests one after the other, the last `failed` of them errors."""
    due = np.arange(n, dtype=np.int64) * milliseconds * MS + 5_000
    sent = due + lag_ms * MS
    status = np.array(["OK"] * (n - failed) + ["UNAVAILABLE"] * failed)
    return Samples(due, sent, sent + milliseconds * MS, status)


def subject(part: str = "server", batch_rows: int = 4, **changes) -> Subject:
    return Subject(part, "item_tower", "serving_default", "CPU", batch_rows, **changes)


def test_closed_row_counts_answers_and_rows() -> None:
    points = Points(BenchConfig())
    row = points.closed(subject(), steady(10, 50, failed=10), clients=1)
    assert row["n"] == 40
    assert row["errors"] == {"UNAVAILABLE": 10}
    assert row["measured_s"] == pytest.approx(0.5)
    assert row["achieved_qps"] == pytest.approx(80)
    assert row["rows_per_s"] == pytest.approx(320)
    assert row["p50_ms"] == {"value": 10.0, "low": 10.0, "high": 10.0}
    assert row["p99_ms"] is None
    assert (row["loop"], row["concurrency"], row["offered_qps"]) == ("closed", 1, None)


def test_open_latency_counts_from_the_due_time() -> None:
    points = Points(BenchConfig(lag_floor_ms=100.0))
    run = OpenLoopRun(steady(10, 50, lag_ms=7), skipped=3)
    row = points.open(subject(), run, offered_qps=100.0)
    assert row["p50_ms"]["value"] == 17.0
    assert row["lag_p99_ms"] == 7.0
    assert (row["skipped"], row["void"], row["offered_qps"]) == (3, None, 100.0)


def test_void_rows_have_a_reason_and_no_percentile() -> None:
    points = Points(BenchConfig(lag_floor_ms=1.0, lag_share=0.1))
    row = points.open(subject(), OpenLoopRun(steady(10, 500, lag_ms=7), 0), offered_qps=100.0)
    assert "p99 lag was 7.00 ms, the limit is 1.70 ms" in row["void"]
    assert row["p50_ms"] is row["p90_ms"] is row["p99_ms"] is None
    assert row["n"] == 500
    # the raw data is kept all the same
    assert len(points.raw[row["point"]]) == 500


def test_nothing_answered_is_a_row_without_numbers() -> None:
    points = Points(BenchConfig())
    row = points.closed(subject(), steady(10, 5, failed=5), clients=1)
    assert (row["n"], row["achieved_qps"], row["p50_ms"]) == (0, 0.0, None)
    nothing = steady(10, 0)
    assert points.closed(subject(), nothing, clients=1)["achieved_qps"] == 0.0
    assert points.open(subject(), OpenLoopRun(nothing, 0), offered_qps=1.0)["void"]


def test_ratios_compare_like_with_like() -> None:
    points = Points(BenchConfig())
    reference = points.closed(subject("in_process"), steady(10, 100), clients=1)["point"]
    server = points.closed(subject(), steady(12, 100), clients=1)["point"]
    points.closed(subject(), steady(30, 100), clients=4)  # more clients
    points.closed(subject(batch_rows=8), steady(30, 100), clients=1)  # other batch, no reference
    points.closed(subject(), steady(12, 5), clients=1)  # too few samples
    points.open(subject(), OpenLoopRun(steady(12, 100), 0), offered_qps=1.0)
    points.closed(
        Subject("server", "recommender", "serving_default", "CPU", 4), steady(1, 100), clients=1
    )
    (ratio,) = ratios_of(points)
    expected = ratio_of_percentiles(
        points.raw[server].latency_ns, points.raw[reference].latency_ns, 0.5, seed=7
    )
    assert expected is not None
    assert ratio == {
        "point": server, "reference_point": reference, "percentile": "p50",
        "value": expected.value, "low": expected.low, "high": expected.high,
    }  # fmt: skip
    assert ratio["value"] == 1.2


def test_raw_data_comes_back_whole(tmp_path: Path) -> None:
    raw = [steady(10, 20, failed=3), steady(5, 0), steady(7, 30, lag_ms=2)]
    write_raw(tmp_path / "raw.parquet", raw)
    back = read_raw(tmp_path / "raw.parquet")
    assert sorted(back) == [0, 2]
    for number, samples in back.items():
        assert samples.due_ns.min() == 0
        assert np.array_equal(samples.latency_ns, raw[number].latency_ns)
        assert np.array_equal(samples.lag_ns, raw[number].lag_ns)
        assert samples.errors == raw[number].errors
    write_raw(tmp_path / "none.parquet", [])
    assert read_raw(tmp_path / "none.parquet") == {}


def test_table_lines_up_and_says_what_is_missing() -> None:
    points = Points(BenchConfig())
    points.closed(subject(), steady(10, 400, failed=2), clients=4)
    points.open(subject(), OpenLoopRun(steady(10, 100, lag_ms=50), 2), offered_qps=123.4)
    points.closed(
        Subject("edge", "user_tower", "from_vectors", "CPU", 1, "float16", 2), steady(1, 9),
        clients=1,
    )  # fmt: skip
    machine = {"cpu_model": None, "usable_cores": 2, "load_average_1_min_before": 0.5}
    document = {
        "points": points.rows,
        "in_process": {"GPU": "no GPU"},
        "machine": machine,
        "seed": 7,
    }
    lines = bench_table(document).splitlines()
    ends = [line.index("rows/s") + len("rows/s") for line in lines[:1]]
    assert all(line[ends[0] - 1].isdigit() for line in lines[1:4])
    assert "closed, clients 4" in lines[1]
    assert "closed, threads 2" in lines[3]
    assert lines[2].count("–") == 3
    assert lines[4].startswith("void: point 1, the generator's p99 lag")
    assert lines[5] == "GPU: no GPU"
    assert lines[6].startswith("unknown CPU, 2 cores, load before 0.5")
