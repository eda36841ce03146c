"""Earlier runs widen the noise to what lies between runs; of other things they are refused."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest

from dualtower_benchmarks.compare.baselines import read_baselines
from dualtower_benchmarks.compare.side import read_side

DAYS = (0.8, 1.02, 1.15, 1.25)  # how slow the same thing was, run by run


@pytest.fixture
def history(write):
    """Files without requests: A's rows of other days."""

    def of_day(factor: float):
        def slow(document: dict[str, Any]) -> None:
            for row in document["points"]:
                for name, value in row.items():
                    if name.endswith("_ms") and isinstance(value, dict):
                        row[name] = {end: factor * one for end, one in value.items()}
                row["rows_per_s"] /= factor
                row["elapsed_s"] *= factor

        return slow

    runs = [write(f"day{n}", seed=1).change(of_day(factor)) for n, factor in enumerate(DAYS)]
    for one in runs:
        one.raw_path.unlink()
    return runs


def test_what_lies_between_runs_is_noise_too(write, compare, history) -> None:
    a, b = write("a", seed=1), write("b", seed=2, slower=1.3)
    alone = compare(a, b, "--json").found
    assert alone["verdicts"]["worse"] == 3
    assert (alone["baselines"], alone["baseline_noise"]) == ([], None)
    answer = compare(a, b, "--json", *(f"--baseline={one.path}" for one in history))
    found = answer.found
    assert answer.code == 0
    assert found["verdicts"]["within noise"] == 3
    assert [one["path"] for one in found["baselines"]] == [str(one.path) for one in history]
    # by hand: the medians of each run's repeats, the largest over the smallest
    key = found["points"][0]["key"]
    medians = []
    for one in (a, *history):
        rows = [row for row in one.document["points"] if row["key"] == key]
        medians.append(min(row["p99_ms"]["value"] for row in rows))  # the lower of two
    (p99,) = [e for e in found["points"][0]["effects"] if e["measure"] == "p99_ms"]
    assert p99["noise"] >= max(medians) / min(medians) - 1e-9
    assert p99["noise"] > 1.4 > alone["points"][0]["effects"][0]["noise"]
    logs = np.abs(np.subtract.outer(*[np.log(medians)] * 2))[np.triu_indices(5, 1)]
    sides = [read_side(one.path) for one in (a, b)]
    noise = read_baselines([one.path for one in history], *sides).noise
    assert noise["by_key"][key]["p99_ms"]["typical"] == pytest.approx(
        np.exp(1.0483 * np.median(logs))
    )
    assert found["baseline_noise"]["p99_ms"] == noise["pooled"]["p99_ms"]
    assert noise["pooled"]["p99_ms"]["pairs"] == 30
    # what is slower than any day was is still found
    assert compare(a, write("c", seed=1, slower=2.0), *(
        f"--baseline={one.path}" for one in history)).code == 1  # fmt: skip


def test_a_folder_gives_what_fits_and_says_what_does_not(write, compare, history, tmp_path) -> None:
    folder = tmp_path / "main"
    folder.mkdir()
    for one in history:
        shutil.copyfile(one.path, folder / one.path.name)  # without the requests
    a, b = write("a", seed=1), write("b", seed=2, slower=1.3)
    other = write("other", seed=3).change(lambda d: d["machine"].update(cpu_model="Another CPU"))
    shutil.copyfile(other.path, folder / "other.json")
    shutil.copyfile(b.path, folder / "a-copy-of-b.json")  # no run of its own
    (folder / "something.json").write_text('{"schema": 1}')
    answer = compare(a, b, "--baseline", str(folder))
    assert answer.code == 0
    assert "noise: also between 5 runs, A among them: " in answer.out
    assert "other.json is no baseline: other machine: cpu model: Some CPU → Another" in answer.out


def test_what_is_no_baseline_is_refused(write, compare, tmp_path) -> None:
    a, b = write("a", seed=1), write("b", seed=2)
    other = write("other", seed=3).change(lambda d: d["bundle"].update(fingerprint="f" * 64))
    answer = compare(a, b, "--baseline", str(other.path))
    assert answer.code == 2
    assert "other.json is no baseline of" in answer.err
    assert "other bundle: 0123456789ab → ffffffffffff" in answer.err
    assert compare(a, b, "--baseline", str(other.path), "--across", "bundle").code == 0
    (tmp_path / "empty").mkdir()
    answer = compare(a, b, "--baseline", str(tmp_path / "empty"))
    assert answer.code == 2
    assert "no run there can be a baseline" in answer.err
    answer = compare(a, b, "--baseline", str(a.path))
    assert answer.code == 2, "A is no baseline of itself"
    answer = compare(a, b, "--baseline", str(tmp_path / "none.json"))
    assert answer.code == 2
    assert "none.json cannot be read" in answer.err
