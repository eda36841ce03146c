"""`dualtower bench train`: turns, ratios and the table, on a BERT of a few thousand weights."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from dualtower.cli import main
from dualtower.errors import UnavailableError
from dualtower_benchmarks.train_peer import TrainPeer
from dualtower_benchmarks.train_speed import (
    OURS,
    REFERENCE,
    Shop,
    TrainCase,
    TrainSpeed,
    measure_training,
)
from dualtower_benchmarks.train_table import train_tables
from dualtower_trainer.bert_config import BertConfig

SMALL = BertConfig(
    vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=32, max_position_embeddings=16,
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
def test_engines_take_turns_and_are_compared(tmp_path: Path) -> None:
    """The reference's place is taken by a program of known speed, behind a python of our choice."""
    program = tmp_path / "stand_in.py"
    program.write_text(STAND_IN)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}"\n')
    python.chmod(0o755)
    speed = TrainSpeed(
        cases=(TrainCase(4), TrainCase(8, 4)), tokens=8, threads=1, rounds=3, steps=2, xla=False,
        reference_python=str(python), shop=Shop(items=200, users=150, taken=12),
    )  # fmt: skip
    document = measure_training(speed, SMALL)
    assert document["engines"][REFERENCE] == "stand-in for 16 wide, 1 threads"
    assert document["engines"][OURS].startswith("tensorflow ")
    for case, batch in zip(document["cases"], (4, 8), strict=True):
        ours, theirs = case["engines"]
        assert (ours["name"], theirs["name"]) == (OURS, REFERENCE)
        assert theirs["step_s"] == 1.0
        assert theirs["rows_per_s"] == batch
        assert theirs["first_loss"] == batch
        assert theirs["ratio"] == {"value": 1.0, "low": 1.0, "high": 1.0}
        assert ours["rows_per_s"] == pytest.approx(batch / ours["step_s"])
        assert ours["ratio"]["low"] <= ours["ratio"]["value"] <= ours["ratio"]["high"]
        share = case["flops_per_step"] / ours["step_s"] / case["flops_per_s_peak"]
        assert ours["share_of_peak"] == pytest.approx(share)
        assert 0 < ours["first_loss"] < 5
    plain, cached = (case["flops_per_step"] for case in document["cases"])
    assert cached == pytest.approx(2 * plain * 4 / 3)  # twice the rows, and one more forward pass
    json.dumps(document)
    cached = document["cached_training"]
    assert cached["histories_per_s"] == pytest.approx(cached["histories"] / cached["step_s"])
    assert cached["positives_per_s"] > cached["histories_per_s"]
    first, second, third = train_tables(document)
    assert "Towers on cached encodings" in third.title
    assert "4 pairs, 8 tokens, 1 threads" in first.title
    assert "in chunks of 4" in second.title
    assert [row[0] for row in first.rows] == [OURS, REFERENCE]


def test_without_a_reference_there_is_no_ratio() -> None:
    engine = {
        "name": OURS, "rows_per_s": 2.0, "step_s": 0.5, "share_of_peak": 0.25, "first_loss": 1.5,
        "ratio": None,
    }  # fmt: skip
    case = {
        "batch": 4, "chunk": 0, "flops_per_step": 1e9, "flops_per_s_peak": 1e10,
        "engines": [engine],
    }  # fmt: skip
    settings = {"tokens": 8, "threads": 1}
    (table,) = train_tables({"settings": settings, "cases": [case], "cached_training": None})
    assert table.rows == [[OURS, "2.0", "0.500 s", "25%", "", "1.5000"]]


def test_an_engine_that_dies_is_named_with_its_last_line() -> None:
    program = "import sys; sys.exit('no such thing as torch')"
    with pytest.raises(UnavailableError, match=r"theirs ended .*: no such thing as torch"):
        TrainPeer("theirs", [sys.executable, "-c", program], {}, threads=1)
    with pytest.raises(UnavailableError, match="/does/not/exist cannot be run"):
        TrainPeer("theirs", ["/does/not/exist"], {}, threads=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": 0}, "rounds must be at least 1"),
        ({"tokens": 2}, "tokens must lie in"),
        ({"cases": (TrainCase(8, 3),)}, "multiple of its chunk"),
    ],
)
def test_settings_that_make_no_sense(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainSpeed(**options)


def test_the_command_has_an_example_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["bench", "train", "--help"])
    assert stop.value.code == 0
    assert "Example: dualtower bench train --reference-python" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["bench", "train", "--batch", "32", "--cached-batch", "40"])
    assert stop.value.code == 2
    assert "multiple of its chunk" in capsys.readouterr().err
