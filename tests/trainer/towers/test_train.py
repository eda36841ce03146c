"""Training for real: it learns, it is reused, it repeats itself, and it refuses what it must."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from dualtower.errors import DataError, UsageError
from dualtower_trainer.checkpoint import load_trained
from dualtower_trainer.cli import load_run_config
from dualtower_trainer.train import train


def test_it_learns_what_the_customers_are_like(trained_run: Path) -> None:
    training = json.loads((trained_run / "training.json").read_text())
    start, *looks = training["history"]
    assert start["step"] == 0
    assert start["loss"] is None
    assert looks[-1]["loss"] < looks[0]["loss"]
    recalls = [look["validation_recall_at_20"] for look in training["history"]]
    assert max(recalls) > 0.5  # 77 warm items: a random list of 20 finds about a quarter
    trained = load_trained(trained_run)
    np.testing.assert_allclose(np.linalg.norm(trained.vectors, axis=1), 1, atol=1e-5)
    assert np.isfinite(trained.embed_histories([np.array([], np.int64)])).all()


def test_what_is_kept_is_the_better_one_and_it_is_said(trained_run: Path) -> None:
    training = json.loads((trained_run / "training.json").read_text())
    assert training["kept"] in ("contrastive", "closed form")
    names = [f"validation_{name}" for name in ("recall_at_20", "ndcg_at_20")]
    values = {place: sum(training[place][name] for name in names) for place in ("start", "chosen")}
    if training["kept"] == "contrastive":
        assert len(training["final_losses"]) == training["best_step"] > 0
    else:
        assert training["final_losses"] == []
        assert values["chosen"] == pytest.approx(values["start"])


def test_the_stored_vectors_are_what_the_stored_towers_give(trained_run: Path) -> None:
    trained = load_trained(trained_run)
    text_only = trained.embed_texts(list(trained.texts))
    cold = ~trained.warm
    assert cold.any()
    np.testing.assert_allclose(trained.vectors[cold], text_only[cold], atol=1e-5)
    assert np.abs(trained.vectors - text_only)[trained.warm].max() > 1e-3


def test_a_second_call_reuses_and_other_settings_are_refused(
    own_run: Path, shop: Path, settings: tuple[str, ...]
) -> None:
    before = (own_run / "model" / "towers.safetensors").stat().st_mtime_ns
    assert train(shop, own_run, load_run_config(None, settings))["reused"]
    assert (own_run / "model" / "towers.safetensors").stat().st_mtime_ns == before
    other = load_run_config(None, (*settings, "train.learning_rate=0.02"))
    with pytest.raises(UsageError, match=r"other train\.learning_rate; add --overwrite"):
        train(shop, own_run, other)


def test_overwriting_with_other_settings_tunes_the_encoder_again(
    shop: Path, settings: tuple[str, ...], tmp_path: Path
) -> None:
    """What is tuned is kept in RUN, and belongs to its settings."""
    run = tmp_path / "run"
    short = ("train.steps=0", "finetune.mode=bitfit", "finetune.steps=2", "finetune.batch_pairs=8")
    tuned = []
    for rate in ("1e-4", "1e-1"):
        config = load_run_config(None, (*settings, *short, f"finetune.learning_rate={rate}"))
        train(shop, run, config, overwrite=True)
        tuned.append(load_trained(run).encoder().sha256)
    assert tuned[0] != tuned[1]


def test_two_trainings_do_not_share_a_folder(
    shop: Path, settings: tuple[str, ...], tmp_path: Path
) -> None:
    from dualtower.files import exclusive_lock

    with (
        exclusive_lock(tmp_path / "run" / ".lock"),
        pytest.raises(UsageError, match="another dualtower is writing"),
    ):
        train(shop, tmp_path / "run", load_run_config(None, settings))


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
        ("train.steps=-1", "steps must not be negative"),
        ("train.id_dropout=1.5", "from 0 to 1"),
        ("train.initial=lucky", "closed_form or random"),
        ("loss.temperature=3", "temperature_max"),
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
    assert not (tmp_path / "run").exists()
