"""Files that cannot be right are refused by name: exit 2, and a word on what to do."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def refused(compare):
    """What is said on stderr; nothing is on stdout."""

    def of(a, b) -> str:
        answer = compare(a, b)
        assert (answer.code, answer.out) == (2, ""), answer
        return answer.err

    return of


def test_a_missing_raw_file(write, refused) -> None:
    a, b = write("a", seed=1), write("b", seed=2)
    b.raw_path.unlink()
    assert "b.samples.parquet, which is not there" in refused(a, b)


def test_another_schema(write, refused) -> None:
    b = write("b", seed=2).change(lambda d: d.update(schema=1))
    assert "b.json has schema 1, this reads 2" in refused(write("a", seed=1), b)


def test_a_truncated_file(write, refused) -> None:
    b = write("b", seed=2)
    b.path.write_bytes(b.path.read_bytes()[:-500])
    assert "b.json is no whole JSON" in refused(write("a", seed=1), b)


def test_a_missing_file(write, refused) -> None:
    a, b = write("a", seed=1), write("b", seed=2)
    b.path.unlink()
    assert "b.json cannot be read" in refused(a, b)


def test_a_truncated_raw_file(write, refused) -> None:
    b = write("b", seed=2)
    b.raw_path.write_bytes(b.raw_path.read_bytes()[:-500])
    assert "b.samples.parquet is no whole Parquet file" in refused(write("a", seed=1), b)


def test_fewer_answers_than_there_are_requests(write, refused) -> None:
    b = write("b", seed=2)
    n = b.document["points"][1]["n"]
    b.change(lambda d: d["points"][1].update(n=n - 1))
    assert f"{n} answers of point 1, {b.path} says {n - 1}" in refused(write("a", seed=1), b)


def test_more_answers_than_there_are_requests(write, refused) -> None:
    b = write("b", seed=2).change(lambda d: d["points"][1].update(n=d["points"][1]["n"] + 1))
    assert "of two runs" in refused(write("a", seed=1), b)


def test_requests_that_were_taken_out(write, refused) -> None:
    def without_the_slowest(columns: dict[str, Any]) -> None:
        took = [done - due for done, due in zip(columns["done_ns"], columns["due_ns"], strict=True)]
        limit = sorted(took)[-20]
        keep = [i for i, length in enumerate(took) if length < limit]
        for name in columns:
            columns[name] = [columns[name][i] for i in keep]

    b = write("b", seed=2).change_raw(without_the_slowest)
    assert "of two runs" in refused(write("a", seed=1), b)


def test_a_percentile_that_was_made_prettier(write, refused) -> None:
    b = write("b", seed=2).change(lambda d: d["points"][0]["p99_ms"].update(value=1.0))
    assert "p99_ms of point 0 is not that of its requests" in refused(write("a", seed=1), b)


def test_errors_that_were_left_out(write, refused) -> None:
    b = write("b", seed=2, failing=0.1).change(lambda d: d["points"][0].update(errors={}))
    assert "errors of point 0" in refused(write("a", seed=1), b)


def test_a_clock_that_went_backwards(write, refused) -> None:
    def backwards(columns: dict[str, Any]) -> None:
        columns["done_ns"][1700] = columns["sent_ns"][1700] - 1

    b = write("b", seed=2).change_raw(backwards)
    said = refused(write("a", seed=1), b)
    assert "b.samples.parquet, point 1" in said
    assert "the clock went backwards" in said


def test_two_runs_without_a_common_point(write, refused) -> None:
    b = write("b", seed=2).change(lambda d: [row.update(key="x") for row in d["points"]])
    assert "have no point in common" in refused(write("a", seed=1), b)


def test_two_outputs_at_once(write, compare) -> None:
    a = write("a", seed=1)
    assert compare(a, a, "--json", "--markdown").code == 2
