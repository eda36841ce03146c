"""Training for real: it learns, it resumes exactly, it is reused, and it refuses what it must."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from dualtower.errors import DataError, UsageError
from dualtower_trainer.checkpoint import load_trained
from dualtower_trainer.cli import load_run_config
from dualtower_trainer.train import train


def command(shop: Path, run: Path, settings: tuple[str, ...], *more: str) -> list[str]:
    sets = [part for setting in settings for part in ("--set", setting)]
    code = "from dualtower.cli import main; main()"
    return [
        sys.executable, "-c", code, "train", "--data", str(shop), "--out", str(run), *sets, *more,
    ]  # fmt: skip


def test_it_learns_what_the_customers_are_like(trained_run: Path) -> None:
    training = json.loads((trained_run / "training.json").read_text())
    recalls = [look["validation_recall_at_20"] for look in training["history"]]
    losses = [look["loss"] for look in training["history"]]
    assert losses[-1] < losses[0]
    assert max(recalls) > 0.5  # 77 warm items: a random list of 20 finds about a quarter
    trained = load_trained(trained_run)
    np.testing.assert_allclose(np.linalg.norm(trained.vectors, axis=1), 1, atol=1e-5)
    assert np.isfinite(trained.embed_histories([np.array([], np.int64)])).all()


def test_the_stored_vectors_are_what_the_stored_towers_give(trained_run: Path) -> None:
    trained = load_trained(trained_run)
    pooled = trained.encoder().encode(list(trained.texts))
    cold = ~trained.warm
    assert cold.any()
    nothing = np.zeros((len(pooled), trained.config.dim), np.float32)
    text_only = trained.item_head({"pooled": pooled, "id_vector": nothing}).numpy()
    np.testing.assert_allclose(trained.vectors[cold], text_only[cold], atol=1e-5)
    assert np.abs(trained.vectors - text_only)[trained.warm].max() > 1e-3


def test_a_second_call_reuses_and_other_settings_are_refused(
    trained_run: Path, shop: Path, settings: tuple[str, ...]
) -> None:
    before = (trained_run / "model" / "towers.safetensors").stat().st_mtime_ns
    assert train(shop, trained_run, load_run_config(None, settings))["reused"]
    assert (trained_run / "model" / "towers.safetensors").stat().st_mtime_ns == before
    other = load_run_config(None, (*settings, "train.learning_rate=0.02"))
    with pytest.raises(UsageError, match=r"other train\.learning_rate; add --overwrite"):
        train(shop, trained_run, other)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_training_that_was_stopped_ends_as_if_it_had_not_been(
    how: signal.Signals,
    trained_run: Path,
    shop: Path,
    settings: tuple[str, ...],
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": "2"}
    process = subprocess.Popen(
        command(shop, run, settings), stderr=subprocess.PIPE, text=True, env=environment
    )
    state = run / "state.safetensors"
    while not state.exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    finished_first = process.returncode == 0
    if not finished_first:
        assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL), errors
        assert not (run / "model").exists()
    again = subprocess.run(
        command(shop, run, settings, "--json"), capture_output=True, text=True, env=environment,
        check=True,
    )  # fmt: skip
    assert finished_first or "resuming at step" in again.stderr
    whole = json.loads((trained_run / "training.json").read_text())
    ours = json.loads(again.stdout)
    for one, other in zip(ours["history"], whole["history"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
    expected = load_file(trained_run / "model" / "towers.safetensors")
    for name, tensor in load_file(run / "model" / "towers.safetensors").items():
        np.testing.assert_allclose(tensor, expected[name], atol=1e-4, err_msg=name)


def test_two_trainings_do_not_share_a_folder(
    trained_run: Path, shop: Path, settings: tuple[str, ...], tmp_path: Path
) -> None:
    from dualtower.files import exclusive_lock

    with (
        exclusive_lock(tmp_path / "run" / ".lock"),
        pytest.raises(UsageError, match="another dualtower is writing"),
    ):
        train(shop, tmp_path / "run", load_run_config(None, settings))


def test_divergence_is_named(shop: Path, settings: tuple[str, ...], tmp_path: Path) -> None:
    wild = load_run_config(None, (*settings, "train.learning_rate=1e30", "train.warmup_steps=0"))
    with pytest.raises(DataError, match=r"diverged at step \d+: the loss is nan.*learning_rate"):
        train(shop, tmp_path / "run", wild)


def test_a_truncated_checkpoint_is_named(
    trained_run: Path, shop: Path, settings: tuple[str, ...], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(shop, run, load_run_config(None, (*settings, "train.steps=20")))
    (run / "training.json").unlink()
    state = run / "state.safetensors"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"checkpoint .* cannot be used .*--overwrite"):
        train(shop, run, load_run_config(None, (*settings, "train.steps=20")))
    done = train(shop, run, load_run_config(None, (*settings, "train.steps=40")), overwrite=True)
    assert done["history"][-1]["step"] == 40


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "model.json").unlink(), "holds no trained model"),
        (lambda folder: (folder / "model.json").write_text("{"), "is damaged"),
        (lambda folder: (folder / "model.json").write_text('{"schema": 99}'), "schema 99"),
        (lambda folder: _cut(folder / "towers.safetensors"), "is damaged"),
        (lambda folder: _flip(folder / "towers.safetensors"), "changed after training"),
        (lambda folder: _cut(folder / "catalogue.parquet"), "is damaged"),
    ],
)
def test_a_damaged_model_is_named(trained_run: Path, tmp_path: Path, damage, message: str) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(trained_run / "model", run / "model")
    damage(run / "model")
    with pytest.raises((UsageError, DataError), match=message):
        load_trained(run)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_the_catalogue_says_what_is_warm(trained_run: Path, shop: Path) -> None:
    from dualtower_trainer.data import load_dataset, split

    parts = split(load_dataset(shop), load_trained(trained_run).split)
    stored = pq.read_table(trained_run / "model" / "catalogue.parquet")
    assert stored["warm"].to_pylist() == parts.warm.tolist()
    assert not parts.warm[parts.cold].any()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.stepz=3", "did you mean 'steps'"),
        ("trian.steps=3", "did you mean 'train'"),
        ("train.steps=many", "must be int, got 'many'"),
        ("train.steps=0", "steps must be at least 1"),
        ("train.id_dropout=1.5", "from 0 to 1"),
        ("train.temperature=0.9", "temperature_max"),
        ("encoder.name=/no/such/folder", "neither"),
    ],
)
def test_wrong_settings_exit_with_2(
    shop: Path, settings: tuple[str, ...], tmp_path: Path, setting: str, message: str
) -> None:
    from click.testing import CliRunner

    from dualtower_trainer.cli import train as train_command

    arguments = ["--data", str(shop), "--out", str(tmp_path / "run"), "--set", setting]
    result = CliRunner().invoke(train_command, arguments)
    assert result.exception is not None
    assert getattr(result.exception, "exit_code", None) == 2
    assert message in str(result.exception)


def test_a_full_disk_is_named_and_leaves_no_model(
    shop: Path, settings: tuple[str, ...], tmp_path: Path
) -> None:
    """A limit on the size of a file stands in for the disk: the kernel refuses the write."""
    run = tmp_path / "run"
    limited = ["bash", "-c", 'ulimit -f 12 && exec "$@"', "limited"]
    done = subprocess.run(
        [*limited, *command(shop, run, settings)], capture_output=True, text=True, check=False,
        preexec_fn=_ignore_file_size_signal,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (run / "model").exists()
    assert list(run.rglob("*.tmp-*")) == []


def _ignore_file_size_signal() -> None:
    """With SIGXFSZ ignored, a write beyond the limit fails with EFBIG instead of a death."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
