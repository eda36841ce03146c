"""The curves of a training as TensorBoard reads them, the same after any number of resumes.

An event file is a TFRecord file of `Event` messages, which TensorFlow brings along; to look at one:
`pip install tensorboard` and `tensorboard --logdir FOLDER`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from dualtower.errors import UsageError
from dualtower.progress import say

__all__ = ["ScalarLog", "draw_stored"]

_NAME = "events.out.tfevents"
_LOOKS = {
    "learning_rate": "learning_rate",
    "temperature": "temperature",
    "value": "validation/value",
    "validation_recall_at_20": "validation/recall_at_20",
    "validation_ndcg_at_20": "validation/ndcg_at_20",
    "validation_cold_recall_at_20": "validation/cold_recall_at_20",
    "validation_cold_ndcg_at_20": "validation/cold_ndcg_at_20",
    "validation_rating_rmse": "validation/rating_rmse",
    "validation_event_accuracy": "validation/event_accuracy",
    "validation_event_log_loss": "validation/event_log_loss",
}


class ScalarLog:
    """Writes the loss of every step and the numbers of every look into an event file.

    What an earlier process left in the folder is written anew from the checkpoint, so no step is
    there twice, and none that the checkpoint does not know.

    Args:
        folder: gets the event file; None writes nothing.
        facts: `losses` and `history` so far, as `fit_towers` keeps them.

    Raises:
        UsageError: the folder cannot be written.
    """

    def __init__(self, folder: Path | None, facts: Mapping[str, Any]) -> None:
        self._folder = folder
        self._writer: Any = None
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path in folder.glob(f"{_NAME}.*"):
                path.unlink()
            now_s = time.time()
            self._writer = tf.io.TFRecordWriter(str(folder / f"{_NAME}.{int(now_s)}.dualtower"))
        except (OSError, tf.errors.OpError) as error:
            raise UsageError(f"the folder {folder} cannot be written: {error}") from error
        self._append(tf.compat.v1.Event(wall_time=now_s, file_version="brain.Event:2"))
        for place, loss in enumerate(facts["losses"]):
            self.loss(place + 1, loss)
        for entry in facts["history"]:
            self.look(entry)
        self._flush()

    def loss(self, step: int, value: float) -> None:
        """The loss of the step that made `step` steps in all."""
        self._write(step, {"loss": value})

    def look(self, entry: Mapping[str, Any]) -> None:
        """An entry of `history`, brought to disk; what is None is left out."""
        numbers = {tag: entry[name] for name, tag in _LOOKS.items() if entry.get(name) is not None}
        self._write(entry["step"], numbers)
        self._flush()

    def close(self) -> None:
        """Brings everything to disk."""
        if self._writer is not None:
            self._flush()
            self._writer.close()

    def _write(self, step: int, numbers: Mapping[str, float]) -> None:
        if self._writer is not None:
            values = [
                tf.compat.v1.Summary.Value(tag=tag, simple_value=value)
                for tag, value in numbers.items()
            ]
            summary = tf.compat.v1.Summary(value=values)
            self._append(tf.compat.v1.Event(wall_time=time.time(), step=step, summary=summary))

    def _append(self, event: Any) -> None:
        try:
            self._writer.write(event.SerializeToString())
        except tf.errors.OpError as error:
            raise UsageError(f"the folder {self._folder} cannot be written: {error}") from error

    def _flush(self) -> None:
        if self._writer is None:
            return
        try:
            self._writer.flush()
        except tf.errors.OpError as error:
            raise UsageError(f"the folder {self._folder} cannot be written: {error}") from error


def draw_stored(board: Path, training: Mapping[str, Any]) -> None:
    """Draws phases that are over, whose numbers are kept, as they would have been drawn live.

    Args:
        board: gets a folder for each phase that has steps.
        training: `history` and `losses` of the choice, `final_losses` of the last fit where it is
            over, as training.json has them.

    Raises:
        UsageError: the folder cannot be written.
    """
    phases = {
        "choose": (training["losses"], training["history"]),
        "train": (training.get("final_losses", []), []),
    }
    drawn = {title: facts for title, facts in phases.items() if facts[0]}
    for title, (losses, history) in drawn.items():
        ScalarLog(board / title, {"losses": losses, "history": history}).close()
        say(f"  drew the {len(losses)} steps of {board / title} from what is kept")
    if not drawn:
        say(f"  nothing was drawn in {board}: the training took no steps")
