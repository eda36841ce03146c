"""Event files that TensorBoard reads, with every step once however often a training was resumed."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
import tensorflow as tf

import dualtower_trainer  # noqa: F401  before TensorFlow
from dualtower.errors import UsageError
from dualtower_trainer.cli import load_run_config
from dualtower_trainer.scalar_log import ScalarLog
from dualtower_trainer.train import train

LOOK = {"step": 2, "loss": 0.4, "value": 0.5, "temperature": 0.1, "learning_rate": 1e-3,
        "validation_recall_at_20": 0.25, "validation_cold_recall_at_20": None}  # fmt: skip


def read(folder: Path) -> dict[str, dict[int, list[float]]]:
    """Tag, step, values; by the records themselves."""
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for record in tf.data.TFRecordDataset([str(path)]):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                found[value.tag][event.step].append(value.simple_value)
    return found


def test_a_resumed_log_has_every_step_once(tmp_path: Path) -> None:
    killed = ScalarLog(tmp_path, {"losses": [], "history": [{**LOOK, "step": 0}]})
    for step in (1, 2, 3, 4):
        killed.loss(step, 1 / step)
    killed.look(LOOK)  # and the process dies, with a checkpoint of step 2
    resumed = ScalarLog(tmp_path, {"losses": [1.0, 0.5], "history": [{**LOOK, "step": 0}, LOOK]})
    resumed.loss(3, 0.3)
    resumed.close()
    found = read(tmp_path)
    assert {step: pytest.approx(v) for step, v in found["loss"].items()} == {
        1: [1.0], 2: [0.5], 3: [0.3]
    }  # fmt: skip
    assert sorted(found["validation/recall_at_20"]) == [0, 2]
    assert found["temperature"][2] == pytest.approx([0.1])
    assert "validation/cold_recall_at_20" not in found


def test_tensorboard_itself_reads_it(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    ScalarLog(tmp_path, {"losses": [1.0, 0.5], "history": [LOOK]}).close()
    events = accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 1.0), (2, 0.5)]
    assert events.Scalars("learning_rate")[0].value == pytest.approx(1e-3)


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = ScalarLog(None, {"losses": [1.0], "history": []})
    log.loss(2, 0.5)
    log.look(LOOK)
    log.close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        ScalarLog(tmp_path / "file" / "board", {"losses": [], "history": []})


def test_a_training_draws_both_of_its_phases_and_stays_the_same_training(
    shop: Path, settings: tuple[str, ...], tmp_path: Path
) -> None:
    small = (*settings, "train.steps=8", "train.evaluate_every=4")
    board = f"train.tensorboard={tmp_path / 'board'}"
    done = train(shop, tmp_path / "run", load_run_config(None, (*small, board)))
    chosen = read(tmp_path / "board" / "run" / "choose")
    assert [chosen["loss"][step + 1][0] for step in range(8)] == pytest.approx(done["losses"])
    for look in done["history"]:
        recall, rate = (chosen[tag][look["step"]] for tag in
                        ("validation/recall_at_20", "learning_rate"))  # fmt: skip
        assert recall == pytest.approx([look["validation_recall_at_20"]])
        assert rate == pytest.approx([look["learning_rate"]])
    last = read(tmp_path / "board" / "run" / "train")
    assert len(last["loss"]) == len(done["final_losses"])
    assert train(shop, tmp_path / "run", load_run_config(None, small))["reused"]
