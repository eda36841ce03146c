"""Curves that are asked for after the training are those that it would have drawn."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from click.testing import CliRunner

import dualtower_trainer  # noqa: F401  before TensorFlow
from dualtower_trainer.cli import train


def read(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """Step and numbers of every event, in their order."""
    (path,) = folder.glob("events.out.tfevents.*")
    events = [
        tf.compat.v1.Event.FromString(record.numpy())
        for record in tf.data.TFRecordDataset([str(path)])
    ]
    return [
        (event.step, {value.tag: value.simple_value for value in event.summary.value})
        for event in events
        if event.summary.value
    ]


@pytest.fixture
def run_train(shop: Path, settings: tuple[str, ...]) -> Callable[..., str]:
    """The command, with these arguments too; returns what it said."""

    def run(out: Path, *more: str) -> str:
        sets = [part for setting in settings for part in ("--set", setting)]
        arguments = ["--data", str(shop), "--out", str(out), *sets, *more]
        result = CliRunner().invoke(train, arguments)
        assert result.exit_code == 0, result.output
        return result.stderr

    return run


def test_a_reused_training_is_drawn_from_what_is_kept(
    run_train: Callable[..., str], own_run: Path, tmp_path: Path
) -> None:
    done = json.loads((own_run / "training.json").read_text())
    said = run_train(own_run, "--tensorboard", str(tmp_path / "board"))
    assert "reused" in said
    board = tmp_path / "board" / own_run.name
    chosen = read(board / "choose")
    losses = [(step, numbers["loss"]) for step, numbers in chosen if "loss" in numbers]
    assert losses == [(n + 1, pytest.approx(loss)) for n, loss in enumerate(done["losses"])]
    looks = [(step, numbers["validation/value"]) for step, numbers in chosen
             if "validation/value" in numbers]  # fmt: skip
    assert looks == [(look["step"], pytest.approx(look["value"])) for look in done["history"]]
    last = read(board / "train")
    assert [numbers["loss"] for _, numbers in last] == pytest.approx(done["final_losses"])


def test_a_training_that_goes_on_draws_the_choice_too(
    run_train: Callable[..., str], own_run: Path, tmp_path: Path
) -> None:
    for name in ("training.json", "state.safetensors"):
        (own_run / name).unlink()
    shutil.rmtree(own_run / "model")
    run_train(own_run, "--tensorboard", str(tmp_path / "board"))
    done = json.loads((own_run / "training.json").read_text())
    for title, losses in (("choose", done["losses"]), ("train", done["final_losses"])):
        drawn = [numbers["loss"] for _, numbers in read(tmp_path / "board" / "run" / title)
                 if "loss" in numbers]  # fmt: skip
        assert drawn == pytest.approx(losses)


def test_without_a_step_it_says_that_there_is_nothing_to_draw(
    run_train: Callable[..., str], tmp_path: Path
) -> None:
    board, options = tmp_path / "board", ("--set", "train.steps=0")
    run_train(tmp_path / "run", *options)
    said = run_train(tmp_path / "run", *options, "--tensorboard", str(board))
    assert f"nothing was drawn in {board / 'run'}: the training took no steps" in said
    assert not board.exists()
