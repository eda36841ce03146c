"""Results are read whole, or refused with what is wrong and what to run."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from dualtower.errors import UsageError
from dualtower_benchmarks.load.raw_store import read_raw, write_raw
from dualtower_benchmarks.schema import read_results
from dualtower_benchmarks.schema.measured import measured_of
from dualtower_benchmarks.stats.steady import steady_part


def test_rows_and_requests_are_one(drawn) -> None:
    results = read_results(drawn.path)
    raw = results.raw()
    assert results.name == "drawn"
    assert len(results.points) == len(raw) == len(drawn.document["points"])
    for row in results.points:
        assert len(raw[row["point"]].measured.latency_ns) == row["n"] > 0


def test_the_warm_up_is_there_for_whoever_checks_it(drawn) -> None:
    raw = read_results(drawn.path).raw()
    for row in drawn.document["points"]:
        whole = raw[row["point"]]
        left_out = steady_part(
            dataclasses.replace(whole, warmup=None), warmup_s=row["warmup_s"], seed=0
        )
        assert left_out.left_out_s == row["warmup_left_out_s"] >= 0.5
        assert np.array_equal(left_out.samples.done_ns, whole.measured.done_ns)
        assert 0 < int(whole.warmup.sum()) < len(whole)
        assert whole.due_ns[whole.warmup].max() < whole.measured.due_ns.min()


def test_a_file_without_the_warm_up_is_read_as_before(results) -> None:
    raw = read_raw(results.raw_path)
    write_raw(results.raw_path, [raw[number].measured for number in sorted(raw)])
    table = pq.read_table(results.raw_path)
    assert not any(table["warmup"].to_pylist())
    pq.write_table(table.drop_columns(["warmup"]), results.raw_path)
    for samples in read_results(results.path).raw().values():
        assert samples.measured is samples


def test_requests_that_are_marked_otherwise_are_found(results) -> None:
    table = pq.read_table(results.raw_path)
    flags = table["warmup"].to_pylist()
    place = flags.index(False)
    flags[place] = True
    column = table.schema.get_field_index("warmup")
    pq.write_table(table.set_column(column, "warmup", [flags]), results.raw_path)
    refused(results, "answers of point 0 after the warm-up")


def test_repeats_stand_together(drawn) -> None:
    results = read_results(drawn.path)
    cases = measured_of(results.points)
    assert len(cases) == len(drawn.document["scenario"]["cases"]) - 1  # the GPU's
    for case in cases:
        rows = [row for row in results.points if row["key"] == case["key"]]
        assert len(case.rows) + len(case.void) == len(rows) == 3
        if case.void:
            assert (case["rate_qps"], case["batch_rows"]) == (150, 1)
            assert case.value("p50_ms") is case.span("p50_ms") is None
            assert case.offered_qps == 150
            continue
        p50 = sorted(row["p50_ms"]["value"] for row in rows)
        assert case.value("p50_ms") == p50[1]
        assert case.span("p50_ms") == (p50[0], p50[2])
        assert case.n == sum(row["n"] for row in rows)


def test_one_repeat_has_the_interval_of_its_samples(drawn) -> None:
    row = read_results(drawn.path).points[0]
    (case,) = measured_of([row])
    assert case.span("p50_ms") == (row["p50_ms"]["low"], row["p50_ms"]["high"])
    assert case.span("rows_per_s") == (row["rows_per_s"],) * 2


def refused(results, match: str) -> None:
    with pytest.raises(UsageError, match=match) as caught:
        read_results(results.path).raw()
    assert results.path.stem in str(caught.value)


@pytest.mark.parametrize("length", [0, 1, 200, 5000, -2])
def test_a_file_that_was_cut_off(results, length: int) -> None:
    results.path.write_bytes(results.path.read_bytes()[:length])
    refused(results, "no whole JSON.*bench run SCENARIO BUNDLE --out")


def test_other_files(results) -> None:
    whole = results.document
    for text, match in (
        ("[]", "no JSON object"),
        ('{"schema": 1, "points": []}', "has schema 1, this reads 2"),
        ('{"points": []}', "has schema None"),
        ('{"schema": 2}', "the document has no absent, bundle, command …"),
        (json.dumps({**whole, "schema": 3}), "has schema 3"),
        (json.dumps({**whole, "points": [{"point": 0}]}), "point 0 has no achieved_qps"),
        (json.dumps({**whole, "points": whole["points"][::-1]}), "point 0 calls itself"),
    ):
        results.path.write_text(text)
        refused(results, match)
    results.path.unlink()
    refused(results, "cannot be read .*bench run")


def test_requests_that_are_missing_cut_off_or_of_another_run(results) -> None:
    raw, whole = results.raw_path, results.raw_path.read_bytes()
    raw.write_bytes(whole[:-100])
    refused(results, "no whole Parquet")
    raw.write_bytes(b"")
    refused(results, "no whole Parquet")
    raw.unlink()
    refused(results, "which is not there")
    assert read_results(results.path, with_raw=False).points
    raw.write_bytes(whole)
    samples = list(read_raw(raw).values())
    write_raw(raw, samples[:5])
    refused(results, "of two runs")
    write_raw(raw, samples[::-1])  # as many requests, of other points
    refused(results, "answers of point")
