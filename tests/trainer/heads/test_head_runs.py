"""Heads through whole trainings: stopped and resumed, stored and read again, printed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

from dualtower.edge.tokenizer import Tokenizer
from dualtower.errors import DataError
from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.bert_weights import random_tensors
from dualtower_trainer.checkpoint import load_trained
from dualtower_trainer.cli import load_run_config
from dualtower_trainer.cli import train as train_command
from dualtower_trainer.data import Dataset, load_dataset
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.heads import split_labels
from dualtower_trainer.heads.shown import head_rows
from dualtower_trainer.learner import Learner
from dualtower_trainer.select_recipe import inner_split
from dualtower_trainer.train import train

SETTINGS = (
    "encoder.max_tokens=6", "model.dim=24", "model.hidden_units=8", "model.history_items=16",
    "train.initial=random", "train.steps=12", "train.evaluate_every=5", "train.patience=9",
    "train.users_per_step=32", "train.targets_per_user=4", "train.uniform_negatives=32",
    "train.learning_rate=0.01", "train.user_rate=1", "train.own_rate=1",
    "loss.kind=sampled_softmax",
)  # fmt: skip
HEADS = ("heads.ratings=true", "heads.events=true", "heads.rating_weight=0.5")


@pytest.fixture(scope="module")
def folders(planted: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The planted log with its labels and without, as data folders."""
    log, ids = planted.interactions, planted.catalogue.item_ids
    folder = tmp_path_factory.mktemp("planted")
    columns = {
        "user_id": pa.array(log.user_ids[log.users], pa.string()),
        "item_id": pa.array(ids[log.items], pa.string()),
        "timestamp": pa.array(log.timestamps),
        "weight": pa.array(log.weights),
    }
    events = np.array([*planted.event_names, None], object)[planted.events]
    labels = {
        "rating": pa.array(planted.ratings, from_pandas=True),
        "event": pa.array(events, pa.string()),
    }
    for name, table in (("labelled", {**columns, **labels}), ("plain", columns)):
        (folder / name).mkdir()
        pq.write_table(pa.table(table), folder / name / "interactions.parquet")
        goods = {"item_id": list(ids), "text": list(ids), "blocked": [False] * len(ids)}
        pq.write_table(pa.table(goods), folder / name / "items.parquet")
    return folder / "labelled", folder / "plain"


@pytest.fixture(scope="module")
def encoder_setting(tmp_path_factory: pytest.TempPathFactory) -> str:
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "i", *(f"##{digit}" for digit in range(10))]
    config = BertConfig(
        vocab_size=len(vocab), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=8,
    )  # fmt: skip
    encoder = Encoder(
        folder=Path(), config=config, tensors=random_tensors(config, seed=3, stddev=0.3),
        tokenizer=Tokenizer(vocab, max_tokens=6),
    )  # fmt: skip
    return f"encoder.name={encoder.save(tmp_path_factory.mktemp('bert') / 'encoder')}"


@pytest.fixture(scope="module")
def whole(folders, encoder_setting: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    train(folders[0], run, load_run_config(None, (encoder_setting, *SETTINGS, *HEADS)))
    return run


@pytest.mark.parametrize(("phase", "step"), [(1, 6), (2, 5)])
def test_stopped_it_ends_as_if_it_had_not_been(
    phase: int, step: int, whole: Path, folders, encoder_setting: str, tmp_path: Path, monkeypatch
) -> None:
    """In the middle of the choice, and after the first checkpoint of the last fit."""
    config = load_run_config(None, (encoder_setting, *SETTINGS, *HEADS))
    taken, begun = Learner.step, []

    def stops(self, batch, place: int) -> float:
        if place == 0:
            begun.append(self)
        if len(begun) == phase and place == step:
            raise KeyboardInterrupt
        return taken(self, batch, place)

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", stops)
        with pytest.raises(KeyboardInterrupt):
            train(folders[0], run, config)
    ours = train(folders[0], run, config)
    theirs = json.loads((whole / "training.json").read_text())
    for name in ("losses", "final_losses", "history", "heads", "chosen"):
        assert ours[name] == theirs[name], name
    expected = load_file(whole / "model" / "towers.safetensors")
    found = load_file(run / "model" / "towers.safetensors")
    assert set(found) == set(expected)
    for name, tensor in found.items():
        np.testing.assert_array_equal(tensor, expected[name], err_msg=name)


def test_the_history_and_the_selection_tell_how_well_they_do(whole: Path) -> None:
    selection = json.loads((whole / "selection.json").read_text())["facts"]
    assert selection["kept"] == "contrastive"
    for entry in selection["history"]:
        for name in ("rating_rmse", "event_accuracy", "event_log_loss"):
            assert np.isfinite(entry[f"validation_{name}"])
    usual = selection["heads"]
    assert set(usual) == {"ratings", "events"}
    assert usual["events"]["names"] == ["buy", "save", "view"]
    assert selection["chosen"]["validation_rating_rmse"] != usual["ratings"]["mean_rmse"]
    training = json.loads((whole / "training.json").read_text())
    assert training["heads"] == usual


def test_a_stored_run_has_its_heads_and_they_foresee_the_planted_labels(
    whole: Path, folders, encoder_setting: str
) -> None:
    trained = load_trained(whole)
    dataset = load_dataset(folders[0])
    config = load_run_config(None, (encoder_setting, *SETTINGS, *HEADS))
    parts, _ = inner_split(dataset, config)
    labels = split_labels(dataset, parts, config.heads)
    people = trained.embed_histories(parts.validation.histories)[labels.people]
    foreseen = trained.heads.ratings(people, trained.vectors[labels.items])
    known = ~np.isnan(labels.validation.ratings)
    found = np.corrcoef(foreseen[known], labels.validation.ratings[known])[0, 1]
    assert found > 0.2, "lengths were set after training, directions were not"
    chances = trained.heads.events(people, trained.vectors[labels.items])
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-5)


def test_without_heads_nothing_of_them_is_stored(
    folders, encoder_setting: str, tmp_path: Path
) -> None:
    """Though the data have labels."""
    run = tmp_path / "run"
    config = load_run_config(None, (encoder_setting, *SETTINGS, "train.steps=3"))
    found = train(folders[0], run, config)
    assert "heads" not in found
    assert set(found["chosen"]) == set(found["start"])
    assert load_trained(run).heads is None
    assert "heads" not in json.loads((run / "model" / "model.json").read_text())
    assert not [n for n in load_file(run / "model" / "towers.safetensors") if "heads" in n]


def test_the_command_prints_them_beside_what_is_usual(
    whole: Path, folders, encoder_setting: str
) -> None:
    sets = [part for one in (encoder_setting, *SETTINGS, *HEADS) for part in ("--set", one)]
    arguments = ["--data", str(folders[0]), "--out", str(whole), *sets]
    result = CliRunner().invoke(train_command, arguments, catch_exceptions=False)
    for words in (
        "validation RMSE of ratings", "(their mean", "biases of users and items",
        "validation accuracy of events", "(the most frequent", "validation log loss of events",
    ):  # fmt: skip
        assert words in result.stdout


def test_where_the_closed_form_was_kept_there_is_no_head_to_speak_of(
    folders, encoder_setting: str, tmp_path: Path
) -> None:
    run, settings = tmp_path / "run", (encoder_setting, *SETTINGS, *HEADS, "train.steps=0")
    training = train(folders[0], run, load_run_config(None, settings))
    assert training["chosen"]["validation_rating_rmse"] == pytest.approx(
        training["heads"]["ratings"]["mean_rmse"], rel=1e-5
    )
    assert load_trained(run).heads is None
    assert head_rows(training) == [("heads", "not kept: the closed form has none")]
    assert head_rows({"kept": "closed form"}) == []


@pytest.mark.parametrize(("key", "role"), [("ratings", "rating"), ("events", "event")])
@pytest.mark.parametrize("plan", [False, True])
def test_a_log_without_labels_exits_with_2(
    key: str, role: str, plan: bool, folders, encoder_setting: str, tmp_path: Path
) -> None:
    sets = [part for one in (encoder_setting, *SETTINGS) for part in ("--set", one)]
    arguments = ["--data", str(folders[1]), "--out", str(tmp_path / "run"), *sets]
    result = CliRunner().invoke(
        train_command, [*arguments, "--set", f"heads.{key}=true", *["--dry-run"] * plan]
    )
    assert isinstance(result.exception, DataError)
    assert result.exception.exit_code == 2
    assert f"--map {role}=COLUMN" in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_a_plan_counts_the_heads(folders, encoder_setting: str, tmp_path: Path) -> None:
    found = []
    for more in ((), HEADS):
        sets = [part for one in (encoder_setting, *SETTINGS, *more) for part in ("--set", one)]
        arguments = [
            "--data",
            str(folders[0]),
            "--out",
            str(tmp_path),
            *sets,
            "--dry-run",
            "--json",
        ]
        result = CliRunner().invoke(train_command, arguments, catch_exceptions=False)
        found.append(json.loads(result.stdout)["plan"])
    more = 2 * (66 * 32 + 32) + (32 * 3 + 3) + (32 + 1)
    for name in ("trainable", "total"):
        assert found[1]["parameters"][name] - found[0]["parameters"][name] == more
    assert found[1]["flops_per_step"] > found[0]["flops_per_step"]
