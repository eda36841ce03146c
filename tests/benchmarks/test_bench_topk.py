"""`dualtower bench topk`: the catalogue, the turns, the ratios and the table."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from dualtower.cli import main
from dualtower_benchmarks.topk_catalogue import make_catalogue, true_best
from dualtower_benchmarks.topk_speed import (
    EXACT,
    OURS,
    REFERENCE,
    TopkSpeed,
    recall_of,
)
from dualtower_benchmarks.topk_table import topk_tables

# speaks the reference's side of the protocol: a call takes 2 ms by 1 ms of CPU and finds row 0
STAND_IN = """
import json, sys
job = json.loads(sys.stdin.readline())
def say(answer): print(json.dumps(answer), flush=True)
say({"ready": f"stand-in for {job['lists']} lists, {job['threads']} threads"})
for line in sys.stdin:
    asked = json.loads(line)
    n = len(asked["begins"])
    rows = [[0]] * n * asked["batch"] if asked["rows"] else []
    say({"wall_ns": [2_000_000] * n, "cpu_ns": [1_000_000] * n, "rows": rows})
"""


def test_the_catalogue_is_what_it_says() -> None:
    made = make_catalogue(2_000, 12, 30, seed=1)
    assert made.vectors.shape == (2_000, 14)
    assert made.users.shape == (30, 14)
    np.testing.assert_allclose(np.linalg.norm(made.vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(made.users, axis=1), 1, atol=1e-5)
    assert not made.users[:, -2:].any()
    lengths = np.linalg.norm(made.vectors[:, :-2], axis=1)
    assert np.median(lengths) == pytest.approx(0.1, rel=0.1)
    assert np.std(np.log(lengths)) == pytest.approx(0.7, rel=0.1)
    again, other = (make_catalogue(2_000, 12, 30, seed=seed) for seed in (1, 2))
    assert np.array_equal(made.vectors, again.vectors)
    assert not np.array_equal(made.vectors, other.vectors)


def test_the_true_lists_are_those_of_a_sort() -> None:
    made = make_catalogue(500, 6, 11, seed=0)
    for without in (False, True):
        scores = made.users.astype(np.float64) @ made.vectors.T.astype(np.float64)
        if without:
            np.put_along_axis(scores, made.seen, -np.inf, axis=1)
        for row, best in zip(scores, true_best(made, 9, without_seen=without), strict=True):
            assert set(best) == set(np.argsort(-row)[:9])


def test_recall_is_the_share_of_the_exact_list() -> None:
    best = [np.array([1, 2, 3, 4]), np.array([5, 6])]
    assert recall_of([[4, 1, 9], [6, 5]], best) == pytest.approx((0.5 + 1) / 2)


@pytest.mark.slow
def test_engines_take_turns_and_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "stand_in.py"
    program.write_text(STAND_IN)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}"\n')
    python.chmod(0o755)
    out = tmp_path / "topk.json"
    main(
        ["bench", "topk", "--items", "600", "--dim", "8", "--k", "20", "--lists", "12",
         "--probes", "1,12", "--batches", "1,4", "--threads", "1", "--rounds", "3",
         "--reference-python", str(python), "--out", str(out)]
    )  # fmt: skip
    document = json.loads(out.read_text())
    assert document["engines"][REFERENCE] == "stand-in for 12 lists, 1 threads"
    assert document["settings"]["lists"] == 12
    points = {(p["side"], p["engine"], p["batch"]): p for p in document["points"]}
    assert len(points) == len(document["points"]) == 2 * (5 + 3)
    for engine in ("exact_float32", "exact_float16", "exact_int8", "ivf_12"):
        assert points[OURS, engine, 1]["recall"] == 1
    assert points[OURS, "ivf_1", 4]["recall"] < 1
    for batch in (1, 4):
        flat, ours = points[REFERENCE, "flat", batch], points[OURS, EXACT, batch]
        assert (flat["wall_ms"], flat["cpu_ms"]) == (2, 1)
        assert flat["cpu_to_reference"] == {"value": 1, "low": 1, "high": 1}
        assert ours["cpu_to_reference"]["value"] == pytest.approx(ours["cpu_ms"])
        assert ours["wall_to_reference"]["value"] == pytest.approx(ours["wall_ms"] / 2)
        assert ours["wall_to_exact"]["value"] == 1
    first, second = topk_tables(document)
    assert "600 items of 8 numbers, best 20; batch 1, threads: 1; 12 lists" in first.title
    assert "batch 4" in second.title
    assert [row[0] for row in first.rows[:2]] == [f"{OURS} exact_float32", f"{OURS} exact_float16"]
    assert "faiss flat" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": 0}, "rounds must be at least 1"),
        ({"items": 50}, "k must be below the 50 items, got 100"),
        ({"lists": 200_000}, r"lists must lie in 0\.\.100000"),
        ({"probes": (4, 4)}, "probes must be distinct"),
        ({"lists": 10}, "probes must not exceed the 10 lists, got 128"),
        ({"batches": (256,)}, "a batch of 256 is more than 128 users"),
    ],
)
def test_settings_that_make_no_sense(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TopkSpeed(**options)


def test_the_command_has_an_example_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["bench", "topk", "--help"])
    assert stop.value.code == 0
    assert "Example: dualtower bench topk --items 1000000" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["bench", "topk", "--probes", "one"])
    assert stop.value.code == 2
    assert "see dualtower bench topk --help" in capsys.readouterr().err


def test_without_a_reference_there_is_no_ratio() -> None:
    point = {
        "side": OURS, "engine": EXACT, "batch": 1, "threads": 1, "recall": 1.0, "wall_ms": 1.5,
        "cpu_ms": 1.25, "cpu_to_reference": None, "wall_to_reference": None,
        "wall_to_exact": {"value": 0.5, "low": 0.5, "high": 0.5},
    }  # fmt: skip
    settings = {"items": 10, "dim": 4, "k": 2, "lists": 3, "batches": [1], "threads": [1]}
    (table,) = topk_tables(
        {"settings": settings, "machine": {"load_average_1_min_before": 0.5}, "points": [point]}
    )
    assert table.rows == [[f"{OURS} {EXACT}", "1.50", "1.25", "1.0000", "", "2.0"]]
