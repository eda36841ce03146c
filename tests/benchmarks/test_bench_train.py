"""`dualtower bench train`: turns, ratios and the table, on a BERT of a few thousand weights."""

from __future__ import annotations

import sys
from pathlib import Path

import jsonschema
import pytest

from dualtower.cli import main
from dualtower.errors import UnavailableError
from dualtower_benchmarks.peer import Peer
from dualtower_benchmarks.report import write_report
from dualtower_benchmarks.scenario.blocks import blocks_text
from dualtower_benchmarks.scenario.scenario import read_scenario
from dualtower_benchmarks.schema import read_results, results_schema
from dualtower_benchmarks.training.case import TrainingCase
from dualtower_benchmarks.training.speed import OURS, REFERENCE
from dualtower_benchmarks.training.table import training_blocks

SMALL = (
    "encoder=tiny", "tokens=8", "threads=1", "rounds=3", "xla=false", "items=200", "people=150",
    "taken=12",
)  # fmt: skip

# speaks the reference's side of the protocol: a step takes a second, its loss is the batch
STAND_IN = """
import json, sys
job = json.loads(sys.stdin.readline())
def say(answer): print(json.dumps(answer), flush=True)
say({"ready": f"stand-in for {job['hidden']} wide, {job['threads']} threads"})
for line in sys.stdin:
    n = json.loads(line)["steps"]
    say({"seconds": [1.0] * n, "losses": [float(job["batch"])] * n})
"""


@pytest.mark.slow
def test_engines_take_turns_and_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reference's place is taken by a program of known speed, behind a python of our choice."""
    program = tmp_path / "stand_in.py"
    program.write_text(STAND_IN)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}"\n')
    python.chmod(0o755)
    monkeypatch.setenv("DUALTOWER_REFERENCE_PYTHON", str(python))
    out = tmp_path / "train.json"
    small = [part for option in SMALL for part in ("--set", f"train.{option}")]
    main(["bench", "train", *small, "--out", str(out)])
    document = read_results(out).document
    jsonschema.Draft202012Validator(results_schema()).validate(document)
    assert str(python) not in out.read_text()  # a path of this machine
    rows = document["training"]["rows"]
    assert [(row["what"], row["batch"], row["engine"]) for row in rows] == [
        ("encoder", 32, OURS), ("encoder", 32, REFERENCE),
        ("encoder", 256, OURS), ("encoder", 256, REFERENCE), ("towers", 32, OURS),
    ]  # fmt: skip
    for ours, theirs in (rows[:2], rows[2:4]):
        assert theirs["version"] == "stand-in for 16 wide, 1 threads"
        assert ours["version"].startswith("tensorflow ")
        assert theirs["step_s"] == theirs["ratio"] == {"value": 1.0, "low": 1.0, "high": 1.0}
        assert theirs["rows_per_s"]["value"] == theirs["first_loss"] == theirs["batch"]
        assert ours["rows_per_s"]["value"] == pytest.approx(ours["batch"] / ours["step_s"]["value"])
        assert ours["ratio"]["low"] <= ours["ratio"]["value"] <= ours["ratio"]["high"]
        share = ours["flops_per_step"] / ours["step_s"]["value"] / ours["flops_per_s_peak"]
        assert ours["share_of_peak"] == pytest.approx(share)
        assert ours["n"] == theirs["n"] == 6
        assert 0 < ours["first_loss"] < 8
    # eight times the pairs, and one more forward pass
    assert rows[2]["flops_per_step"] == pytest.approx(8 * rows[0]["flops_per_step"] * 4 / 3)
    towers = rows[4]
    assert towers["rows_per_s"]["value"] == pytest.approx(
        towers["batch_rows"] / towers["step_s"]["value"]
    )
    said = capsys.readouterr().out
    assert "32 pairs of 8 tokens, tiny, threads: 1" in said
    assert "in chunks of 32" in said
    assert "Towers on cached encodings, 128 histories a step" in said
    write_report([out], out=tmp_path / "train.html")
    page = (tmp_path / "train.html").read_text(encoding="utf-8")
    assert "sentence-transformers: 32.0 pairs a second" in page


def test_without_a_reference_there_is_no_ratio() -> None:
    one = {"value": 0.5, "low": 0.5, "high": 0.5}
    row = {
        **TrainingCase(batch=4, encoder="tiny", tokens=8).as_json(), "key": "k", "repeat": 0,
        "engine": OURS, "rows_per_s": one, "step_s": one, "share_of_peak": 0.25, "first_loss": 1.5,
        "ratio": None, "n": 4, "threads_found": 1, "flops_per_step": 1e9, "flops_per_s_peak": 1e10,
    }  # fmt: skip
    absent = [{"engine": REFERENCE, "reason": "not here"}]
    _, _, cells, last = blocks_text(training_blocks({"rows": [row], "absent": absent})).splitlines()
    assert cells.split() == [OURS, "0.500", "0.500–0.500", "0.500", "25%", "–", "1.5000", "4"]
    assert last == f"absent: {REFERENCE}: not here"


def test_an_engine_that_dies_is_named_with_its_last_line() -> None:
    program = "import sys; sys.exit('no such thing as torch')"
    with pytest.raises(UnavailableError, match=r"theirs ended .*: no such thing as torch"):
        Peer("theirs", [sys.executable, "-c", program], {}, threads=1)
    with pytest.raises(UnavailableError, match="/does/not/exist cannot be run"):
        Peer("theirs", ["/does/not/exist"], {}, threads=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": 0}, "rounds must be at least 1"),
        ({"tokens": 2}, "tokens must lie in"),
        ({"batch": 8, "chunk": 3}, "multiple of its chunk"),
        ({"what": "head"}, "what is one of encoder, towers"),
        ({"encoder": "large"}, "encoder is one of minilm, tiny"),
        ({"taken": 9, "items": 8}, "nobody takes 9 of 8 items"),
    ],
)
def test_settings_that_make_no_sense(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingCase(**options)


def test_the_command_has_an_example_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["bench", "train", "--help"])
    assert stop.value.code == 0
    assert "Example: dualtower bench train --reference-python" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["bench", "train", "--set", "train.chunk=40"])
    assert stop.value.code == 2
    assert "multiple of its chunk" in capsys.readouterr().err
    assert [case.words.split()[1] for case in read_scenario("train").parts["train"]] == [
        "32", "256", "of",
    ]  # fmt: skip
