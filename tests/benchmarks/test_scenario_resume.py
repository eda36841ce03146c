"""Runs that are killed, and bundles that change in the middle: no point is lost, doubled or mixed.

LiteRT on a tiny bundle is what is measured: real processes, real files, no server.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest

from dualtower.bundle import Bundle
from dualtower.errors import BundleMismatch, UsageError
from dualtower_benchmarks.load.raw_store import read_raw
from dualtower_benchmarks.scenario.run import run_scenario
from dualtower_benchmarks.scenario.scenario import Scenario, read_scenario
from dualtower_benchmarks.schema import results_schema

TEXT = """
[scenario]
repeats = 2
[[sweep]]
driver = "litert"
model = "user_tower"
variant = ["float32", "no_such"]
loop = "closed"
concurrency = [1, 2, 3]
warmup_s = 0.05
measured_s = 0.2
"""
_PATIENCE_S = 60.0


def scenario_in(folder: Path, text: str = TEXT) -> Scenario:
    path = folder / "mine.toml"
    path.write_text(text)
    return read_scenario(path)


def rows_in(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What a partial folder holds, by file."""
    rows = {path.stem: path for path in folder.glob("?-*.json")}
    return {stem: json.loads(path.read_text()) for stem, path in rows.items()}


def wait_for_points(folder: Path, count: int) -> None:
    end_s = time.monotonic() + _PATIENCE_S
    while len(list(folder.glob("?-*.json"))) < count:
        assert time.monotonic() < end_s, "no point was measured"
        time.sleep(0.01)


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(small_bundle: Bundle, tmp_path: Path) -> None:
    scenario, out = scenario_in(tmp_path), tmp_path / "mine.json"
    partial = tmp_path / "mine.json.partial"
    command = [
        sys.executable, "-c", "from dualtower.cli import main; main()", "bench", "run",
        str(tmp_path / "mine.toml"), str(small_bundle.path), "--out", str(out),
    ]  # fmt: skip
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_points(partial, 2)
    loading = psutil.Process(running.pid).children(recursive=True)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    psutil.wait_procs(loading, timeout=_PATIENCE_S)  # they end with the pipe
    assert not [process for process in loading if process.is_running()]
    assert not out.exists()
    kept = rows_in(partial)
    assert 2 <= len(kept) < 6
    # a kill between the two files of a point leaves the requests without their row
    stem, lost = sorted(kept.items())[0]
    (partial / f"{stem}.json").unlink()
    del kept[stem]

    shared = json.loads((partial / "run.json").read_text())
    assert len(shared["git_commits"]) == 1
    (partial / "run.json").write_text(json.dumps(shared | {"git_commits": ["a" * 40]}))

    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not partial.exists()
    document = json.loads(out.read_text())
    jsonschema.Draft202012Validator(results_schema()).validate(document)
    # a commit in between, which the results tell
    assert document["git_commits"] == ["a" * 40, document["machine"]["git_commit"]]
    points = document["points"]
    wanted = Counter(
        (repeat, case.key)
        for repeat in range(2)
        for case in scenario.cases
        if case.variant == "float32"
    )
    assert Counter((row["repeat"], row["key"]) for row in points) == wanted
    assert [row["variant"] for row in document["absent"]] == ["no_such"] * 3
    by_stem = {f"{row['repeat']}-{row['key']}": row for row in points}
    for name, rows in kept.items():  # measured before the kill, and not again
        without = {key: value for key, value in by_stem[name].items() if key != "point"}
        assert [without] == rows
    assert by_stem[stem]["timeline"] != lost[0]["timeline"]
    raw = read_raw(tmp_path / document["raw_file"])
    assert sorted(raw) == [row["point"] for row in points]
    for row in points:
        assert len(raw[row["point"]].measured.latency_ns) == row["n"] > 0
        assert bool(raw[row["point"]].warmup.any()) == (row["warmup_left_out_s"] > 0)
    # before and after each case, those from before the kill as well
    takes = Counter((take["repeat"], take["key"]) for take in document["pace"]["takes"])
    assert takes == dict.fromkeys(wanted, 2)


def test_another_bundle_in_the_middle_is_found(small_bundle: Bundle, tmp_path: Path) -> None:
    place, out = tmp_path / "bundle", tmp_path / "mine.json"
    shutil.copytree(small_bundle.path, place)
    manifest = place / "bundle.json"
    original = manifest.read_bytes()
    other = json.loads(original) | {"fingerprint": "f" * 64}
    scenario = scenario_in(tmp_path)
    partial = tmp_path / "mine.json.partial"

    def swap() -> None:
        wait_for_points(partial, 1)
        (tmp_path / "other.json").write_text(json.dumps(other))
        (tmp_path / "other.json").replace(manifest)

    swapping = threading.Thread(target=swap)
    swapping.start()
    with pytest.raises(BundleMismatch, match="while it was measured"):
        run_scenario(scenario, place, out=out)
    swapping.join()
    assert not out.exists()
    before = len(rows_in(partial))
    with pytest.raises(UsageError, match="of another fingerprint"):
        run_scenario(scenario, place, out=out)  # the new bundle cannot take the old one's points
    assert 1 <= len(rows_in(partial)) == before < 6


def test_the_folder_of_another_scenario_is_refused(small_bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "mine.json"
    partial = tmp_path / "mine.json.partial"
    partial.mkdir()
    run = {"scenario": scenario_in(tmp_path, TEXT + "threads = 2\n").as_json()}
    (partial / "run.json").write_text(json.dumps(run))
    with pytest.raises(UsageError, match=r"mine\.json\.partial holds a run .* of another"):
        run_scenario(scenario_in(tmp_path), small_bundle.path, out=out)
    assert [path.name for path in partial.iterdir()] == ["run.json"]
    assert not out.exists()
