"""Trainings that a signal, a full disk, a damaged file or a bad rate cut short."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from multiprocessing.context import BaseContext
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from dualtower.cli import main
from dualtower.errors import DataError
from dualtower_trainer.cli import load_run_config
from dualtower_trainer.train import train

CHECKPOINTS = ("select.safetensors", "state.safetensors")
HEADS = ("heads.ratings=true", "heads.events=true")
SMALL = ("train.steps=8", "train.evaluate_every=4")


def arguments(shop: Path, run: Path, settings: tuple[str, ...]) -> list[str]:
    sets = [part for setting in settings for part in ("--set", setting)]
    return ["train", "--data", str(shop), "--out", str(run), *sets]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("finished", "how", "checkpoint"),
    [
        ("trained_run", signal.SIGKILL, CHECKPOINTS[0]),
        ("trained_run", signal.SIGINT, CHECKPOINTS[1]),
        ("trained_with_heads", signal.SIGKILL, CHECKPOINTS[0]),
        ("trained_with_heads", signal.SIGKILL, CHECKPOINTS[1]),
    ],
)
def test_a_training_that_was_stopped_ends_as_if_it_had_not_been(
    finished: str,
    how: signal.Signals,
    checkpoint: str,
    forks: BaseContext,
    request: pytest.FixtureRequest,
    shop: Path,
    settings: tuple[str, ...],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The signal comes at whatever step follows the first checkpoint of either phase."""
    expected_run = request.getfixturevalue(finished)
    if finished == "trained_with_heads":
        settings = (*settings, *HEADS)
    whole = json.loads((expected_run / "training.json").read_text())
    assert whole["kept"] == "contrastive", "else there is no last fit to interrupt"
    run = tmp_path / "run"
    process = forks.Process(target=main, args=(arguments(shop, run, settings),))
    process.start()
    while not (run / checkpoint).exists():
        assert process.is_alive()
        time.sleep(0.005)
    os.kill(process.pid, how)
    process.join(60)
    finished_first = process.exitcode == 0
    if not finished_first:
        assert process.exitcode == (130 if how == signal.SIGINT else -signal.SIGKILL)
        assert not (run / "model").exists()
    capfd.readouterr()
    main([*arguments(shop, run, settings), "--json"])
    ours = json.loads(capfd.readouterr().out)
    for name in ("losses", "final_losses"):
        assert ours[name] == whole[name], "the very same numbers"
    assert ours["cold_scale"] == whole["cold_scale"]
    assert ours["history"] == whole["history"]
    expected = load_file(expected_run / "model" / "towers.safetensors")
    for name, tensor in load_file(run / "model" / "towers.safetensors").items():
        np.testing.assert_array_equal(tensor, expected[name], err_msg=name)


def test_divergence_is_named(shop: Path, settings: tuple[str, ...], tmp_path: Path) -> None:
    wild = load_run_config(None, (*settings, "train.learning_rate=1e30", "train.warmup_steps=0"))
    with pytest.raises(DataError, match=r"diverged at step \d+: the loss is nan.*learning_rate"):
        train(shop, tmp_path / "run", wild)
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_a_truncated_checkpoint_is_named(
    own_run: Path, shop: Path, settings: tuple[str, ...], checkpoint: str
) -> None:
    (own_run / "training.json").unlink()
    if checkpoint == CHECKPOINTS[0]:
        (own_run / "selection.json").unlink()
    state = own_run / checkpoint
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(DataError, match=rf"checkpoint .*{checkpoint} cannot be .*--overwrite"):
        train(shop, own_run, load_run_config(None, settings))
    done = train(shop, own_run, load_run_config(None, (*settings, *SMALL)), overwrite=True)
    assert done["history"][-1]["step"] == 8


def test_a_broken_selection_is_chosen_again(
    own_run: Path, shop: Path, settings: tuple[str, ...], capsys
) -> None:
    whole = json.loads((own_run / "training.json").read_text())
    (own_run / "training.json").unlink()
    (own_run / "selection.json").write_text('{"choice": {}}')
    done = train(shop, own_run, load_run_config(None, settings))
    assert "choosing again" in capsys.readouterr().err
    assert done["losses"] == whole["losses"]
    assert done["chosen"] == whole["chosen"]


def test_a_full_disk_is_named_and_leaves_no_model(
    shop: Path, settings: tuple[str, ...], tmp_path: Path
) -> None:
    """A limit on the size of a file stands in for the disk: the kernel refuses the write."""
    run = tmp_path / "run"
    limited = ["bash", "-c", 'ulimit -f 12 && exec "$@"', "limited"]
    command = [sys.executable, "-c", "from dualtower.cli import main; main()"]
    done = subprocess.run(
        [*limited, *command, *arguments(shop, run, settings)], capture_output=True, text=True,
        check=False, preexec_fn=_ignore_file_size_signal,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (run / "model").exists()
    assert list(run.rglob("*.tmp-*")) == []


def _ignore_file_size_signal() -> None:
    """With SIGXFSZ ignored, a write beyond the limit fails with EFBIG instead of a death."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
