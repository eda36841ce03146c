"""`[[index]]` in a scenario: real engines in processes of their own on a tiny catalogue."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import faiss
import jsonschema
import numpy as np
import psutil
import pytest

from dualtower.cli import main
from dualtower.errors import UsageError
from dualtower_benchmarks.index.case import IndexCase
from dualtower_benchmarks.index.catalogue import make_catalogue
from dualtower_benchmarks.index.front import on_front
from dualtower_benchmarks.index.table import index_blocks
from dualtower_benchmarks.report import write_report
from dualtower_benchmarks.scenario.blocks import blocks_text
from dualtower_benchmarks.scenario.run import run_scenario
from dualtower_benchmarks.scenario.scenario import read_scenario
from dualtower_benchmarks.schema import read_results, results_schema

TINY = """
[scenario]
title = "Tiny"
[[index]]
items = {items}
dim = 8
k = 10
users = 24
rounds = 2
round_s = 0.02
engine = {engine}
effort = {effort}
{more}
"""


def scenario_in(folder: Path, *tables: dict[str, Any]) -> Path:
    path = folder / "tiny.toml"
    parts = []
    for table in tables:
        values = {"items": 400, "engine": "faiss_flat", "effort": 0, "more": ""} | table
        written = {
            name: value if name == "more" else json.dumps(value) for name, value in values.items()
        }
        parts.append(TINY.format(**written))
    path.write_text(parts[0] + "".join(part.partition('"Tiny"')[2] for part in parts[1:]))
    return path


def measured(folder: Path, *tables: dict[str, Any]) -> dict[str, Any]:
    out = folder / "tiny.json"
    run_scenario(read_scenario(scenario_in(folder, *tables)), None, out=out)
    return dict(read_results(out).document)


def test_engines_find_what_brute_force_finds(tmp_path: Path) -> None:
    document = measured(
        tmp_path,
        {"engine": ["item_index_numpy", "faiss_flat"]},
        {"engine": ["faiss_ivf_flat"], "effort": [1, 9], "more": "lists = 9"},
        {"engine": ["usearch_hnsw"], "effort": 300, "more": "batch = 8"},
    )
    jsonschema.Draft202012Validator(results_schema()).validate(document)
    assert document["bundle"] is None
    rows = {(row["engine"], row["effort"]): row for row in document["index"]["rows"]}
    for exact in (("item_index_numpy", 0), ("faiss_flat", 0), ("faiss_ivf_flat", 9)):
        assert rows[exact]["recall"]["value"] == 1  # of all lists nothing is missed
    assert rows["faiss_ivf_flat", 1]["recall"]["value"] < 0.9
    assert rows["usearch_hnsw", 300]["recall"]["value"] > 0.9
    for row in rows.values():
        assert row["n"] >= row["rounds"]
        assert row["turns_with"] == 4
        assert row["disk_bytes"] > 400 * 8 * 4
        assert row["recall"]["users"] == 24
    assert document["index"]["absent"] == []
    assert not (tmp_path / "tiny.json.partial").exists()
    text = blocks_text(index_blocks(document["index"]))
    assert "400 items of 8 numbers, recall@10 of 24 users" in text
    write_report([tmp_path / "tiny.json"], out=tmp_path / "tiny.html")
    html = (tmp_path / "tiny.html").read_text(encoding="utf-8")
    assert "faiss IVF flat effort 9" in html  # a figure in words
    assert "usearch HNSW" in html


def test_guards_leave_the_rest(tmp_path: Path) -> None:
    document = measured(
        tmp_path,
        {"engine": "faiss_flat"},
        {"engine": "item_index_numpy", "more": "memory_gb = 0.1"},
        {"engine": "usearch_hnsw", "effort": 20, "more": "max_build_s = 0.01"},
    )
    jsonschema.Draft202012Validator(results_schema()).validate(document)
    assert [row["engine"] for row in document["index"]["rows"]] == ["faiss_flat"]
    reasons = {case["engine"]: case["reason"] for case in document["index"]["absent"]}
    assert "of memory, there are 0.1 GB" in reasons["item_index_numpy"]
    assert reasons["usearch_hnsw"] == "its build was ended at max_build_s = 0.01 s"
    assert "absent: usearch HNSW, 400 items: its build was ended" in blocks_text(
        index_blocks(document["index"])
    )


def test_wrong_answers_are_seen(tmp_path: Path) -> None:
    """An index in which every vector has another's number: fast, whole, and wrong."""
    folder = tmp_path / "tiny.json.partial" / "400-8-24"
    made = make_catalogue(folder / "catalogue", 400, 8, 24, seed=7)
    index = faiss.IndexFlatIP(8)
    index.add(np.roll(made.tastes, 1, axis=0))
    faiss.write_index(index, str(folder / "faiss_flat-10"))
    facts = {"build_s": 0.1, "build_peak_bytes": 1, "disk_bytes": 1, "build_threads": 1}
    (folder / "faiss_flat-10.json").write_text(json.dumps(facts))
    (row,) = measured(tmp_path, {})["index"]["rows"]
    assert row["build_s"] == 0.1  # it was taken as it lay there
    assert row["recall"]["value"] < 0.3


@pytest.mark.slow
def test_a_killed_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # without git: a commit to this checkout between the two runs would be another code's
    monkeypatch.setenv("PATH", "")
    table = {"items": [300, 400], "engine": ["usearch_hnsw", "faiss_hnsw"], "effort": [10, 30]}
    path = scenario_in(tmp_path, table)
    out = tmp_path / "tiny.json"
    command = [
        sys.executable,
        "-c",
        "from dualtower.cli import main; main()",
        "bench",
        "run",
        str(path),
        "--out",
        str(out),
    ]
    partial = tmp_path / "tiny.json.partial"
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    end_s = time.monotonic() + 60
    while len(kept := list(partial.glob("0-*.json"))) < 2 and time.monotonic() < end_s:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {one.name: json.loads(one.read_text()) for one in kept}
    assert before
    run_scenario(read_scenario(path), None, out=out)
    rows = read_results(out).document["index"]["rows"]
    assert Counter(row["key"] for row in rows).most_common(1)[0][1] == 1
    assert len(rows) == 8
    for (row,) in before.values():
        assert row in rows
    assert not partial.exists()


def test_a_scenario_that_needs_a_bundle_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="dualtower bench run edge-quick BUNDLE"):
        run_scenario(read_scenario("edge-quick"), None, out=tmp_path / "out.json")


def test_the_front_is_what_nothing_beats() -> None:
    points = [(1.0, 0.5), (2.0, 0.4), (3.0, 0.9), (3.0, 0.8), (4.0, 0.9), (0.5, 0.1)]
    rows = [{"p50_ms": {"value": ms}, "recall": {"value": recall}} for ms, recall in points]
    rows.append({"p50_ms": None, "recall": {"value": 1.0}})
    assert on_front(rows) == {0, 2, 5}
    for place, (ms, recall) in enumerate(points):  # by its definition
        better = [
            other for other in points
            if other != (ms, recall) and other[0] <= ms and other[1] >= recall
        ]  # fmt: skip
        assert (place in on_front(rows)) == (not better)


def test_cases_share_a_build_over_efforts_alone() -> None:
    one = IndexCase(engine="faiss_ivf_flat", effort=4)
    assert one.build_name == IndexCase(engine="faiss_ivf_flat", effort=8, batch=32).build_name
    assert one.build_name != IndexCase(engine="faiss_ivf_flat", effort=4, lists=50).build_name
    assert one.key != IndexCase(engine="faiss_ivf_flat", effort=8).key


def test_the_command_is_the_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    main(["bench", "index", "--items", "1000", "--set", "index.lists=300", "--dry-run"])
    said = capsys.readouterr().out
    assert "recommender IVF, 1,000 items, effort 256" in said
    assert len(read_scenario("index").parts["index"]) == 3 * (5 + 3 * 5 + 2 * 4)


@pytest.mark.slow
def test_the_recommender_finds_what_nobody_has_taken(tmp_path: Path) -> None:
    table = {"engine": "recommender_ivf", "effort": [1, 9], "more": "lists = 9"}
    few, all_lists = measured(tmp_path, table)["index"]["rows"]
    assert all_lists["recall"]["value"] == 1  # against the lists without what was taken
    assert few["recall"]["value"] < 0.9


@pytest.mark.parametrize("answers", [0, 2])
def test_an_engine_that_the_system_kills_is_absent_and_the_others_are_measured(
    tmp_path: Path, answers: int
) -> None:
    """At once, as where its index does not fit, or while it takes turns."""
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        while not killed and not over.wait(0.001):
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    searches = any(word.endswith("index.search_worker") for word in child.cmdline())
                    if searches and (not answers or child.io_counters().write_count > answers):
                        child.kill()
                        killed.append(child.pid)
                        return

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        found = measured(tmp_path, {"engine": ["item_index_numpy", "faiss_flat"]})["index"]
    finally:
        over.set()
        killer.join()
    assert len(killed) == 1
    (row,), (absent,) = found["rows"], found["absent"]
    assert {row["engine"], absent["engine"]} == {"item_index_numpy", "faiss_flat"}
    assert "was ended by the system, most likely for its memory" in absent["reason"]
