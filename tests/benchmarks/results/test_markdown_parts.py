"""Limits, events, searches and LoadGen as Markdown, out of the kept results."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from dualtower.errors import UsageError
from dualtower_benchmarks.cli import bench
from dualtower_benchmarks.markdown.readme import rewritten
from dualtower_benchmarks.scenario.table import results_text
from dualtower_benchmarks.schema import Results, read_results

KEPT = Path(__file__).resolve().parents[3] / "benchmarks" / "results"
NAMES = ("limit", "events", "index", "mlperf")


def results_of(name: str) -> Results:
    return read_results(KEPT / f"{name}.json.gz")


def written(name: str, marker: str, results: Results | None = None) -> str:
    """What comes between the marks."""
    mark = f"<!-- bench:{name} {marker} -->"
    new = rewritten(f"{mark}?<!-- /bench -->", [results or results_of(name)], where="R.md")
    return new.removeprefix(mark).removesuffix("<!-- /bench -->").strip()


def words_of(text: str) -> list[str]:
    """Of cells and sentences, without rules and marks."""
    plain = re.sub(r"^\|[-| :]+\|$", "", text, flags=re.MULTILINE)
    return re.sub(r"[|*]|^- ", " ", plain, flags=re.MULTILINE).replace("\\", "").split()


@pytest.mark.parametrize("name", NAMES)
def test_every_word_of_the_terminal_is_in_the_tables(name: str) -> None:
    done = CliRunner().invoke(bench, ["markdown", str(KEPT / f"{name}.json.gz")])
    assert done.exit_code == 0
    *shown, machine = done.output.rstrip().split("\n\n")
    assert machine.startswith("Measured on ")
    document = results_of(name).document
    about_machine = 2 if "pace" in document else 1
    terminal = results_text(document).splitlines()[:-about_machine]
    told = "\n".join(re.sub(r"^\s*- ", "", line) for line in terminal).replace("*", "")
    assert words_of("\n\n".join(shown)) == told.replace("|", " ").split()
    for block in shown:
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1, block


def test_limits_have_their_unit_and_their_count() -> None:
    table = written("limit", "table part=limit").splitlines()
    assert table[0] == (
        "| limit of | batch | SLO | repeat | limit/s | to/s | ended by | probes | requests |"
    )
    assert table[1] == "| --- | ---: | --- | ---: | ---: | ---: | --- | ---: | ---: |"
    assert "| 1,060 | 1,110 | latency | 17 | 89,147 |" in table[2]
    assert table[3].startswith("| grpc recommender | 1 | p99 ≤ 50 ms")
    assert "- grpc item_tower: in 1 of 1 repeats a probe broke below one that held" in table[5]


def test_a_marker_takes_the_rows_that_fit() -> None:
    some = written("limit", "table part=limit model=recommender")
    assert some.count("\n| grpc ") == 1
    assert "item_tower" not in some, "nor what is said of others"
    event = written("events", "table part=event kind=overload")
    assert event.startswith("**overload: item_tower, batch 1, embedded")
    assert "| × capacity | offered/s | goodput/s |" in event
    assert "swap" not in event
    index = written("index", "table part=index engine=usearch_hnsw effort=100 items=100000")
    assert index.count("\n| usearch") == 1


def test_one_number_is_a_figure() -> None:
    assert written("limit", "limit_qps part=limit model=recommender") == "1,850"
    document = json.loads(gzip.decompress((KEPT / "index.json.gz").read_bytes()))
    row = next(row for row in document["index"]["rows"] if row["engine"] == "faiss_flat")
    found = written("index", "p50_ms part=index engine=faiss_flat items=100000")
    assert found == f"{row['p50_ms']['value']:.2f}"


@pytest.mark.parametrize(
    ("name", "marker", "match"),
    [
        ("limit", "table", "has none; add part=limit"),
        ("limit", "table part=event", "asks for part=event; .* has part=limit"),
        ("limit", "table part=limit size=1", "asks for size=1; rows of part=limit have key, "),
        ("limit", "table part=limit model=x", "no row of part=limit of .* has model=x"),
        ("limit", "limit_qps part=limit", "is of 2: limit: grpc item_tower, .*; add KEY=VALUE"),
        ("limit", "p50_ms part=limit model=recommender", "no p50_ms of .*; there is limit_qps"),
    ],
)
def test_wrong_markers_are_named(name: str, marker: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        written(name, marker)


def test_a_void_event_has_no_figure() -> None:
    marker = "during_p99_ms part=event kind=swap"
    assert float(written("events", marker).replace(",", "")) > 0
    results = results_of("events")
    (swap,) = (row for row in results.document["events"]["rows"] if row["kind"] == "swap")
    swap["void"] = "the last change was not over when the load ended"
    with pytest.raises(UsageError, match="there is no figure that is not void"):
        written("events", marker, results)


def test_points_and_parts_of_one_file_both_have_tables(results) -> None:
    limits = json.loads(gzip.decompress((KEPT / "limit.json.gz").read_bytes()))["limits"]
    results.change(lambda d: d.update(limits=limits))
    done = CliRunner().invoke(bench, ["markdown", str(results.path)])
    heads = [line for line in done.output.splitlines() if line.startswith(("| what", "| limit of"))]
    assert [head.split(" |")[0] for head in heads] == ["| what", "| limit of"]
