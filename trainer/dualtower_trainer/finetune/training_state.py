"""All that a killed tuning goes on from: encoder, optimiser, negatives, and the losses so far."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from dualtower.errors import DataError, UsageError
from dualtower.files import atomic_file
from dualtower.progress import say
from dualtower_trainer.finetune.batches import Batch
from dualtower_trainer.finetune.negatives import TextNegatives
from dualtower_trainer.finetune.tuner import StepResult, Tuner

__all__ = ["Training", "restore_state", "save_state"]

_MORE = "negatives/"


@dataclass(frozen=True)
class Training:
    """An encoder in training and what its batches are given."""

    tuner: Tuner
    negatives: TextNegatives | None

    def step(self, batches: Sequence[Batch], step: int) -> StepResult:
        """One update by `batches` and by what else they are told apart from."""
        if self.negatives is None:
            return self.tuner.step(batches, step)
        batches = self.negatives.add(batches, step, self.tuner.encode)
        result = self.tuner.step(batches, step)
        if result.applied:
            self.negatives.keep(batches, result.right)
        return result

    def state(self) -> dict[str, np.ndarray]:
        """Everything that a resumed run needs, by name."""
        more = {} if self.negatives is None else self.negatives.state()
        return {**self.tuner.state(), **{f"{_MORE}{name}": value for name, value in more.items()}}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """The inverse of `state`; KeyError or ValueError when it is of another training."""
        self.tuner.restore(state)
        if self.negatives is not None:
            self.negatives.restore(
                {n.removeprefix(_MORE): v for n, v in state.items() if n.startswith(_MORE)}
            )


def save_state(
    training: Training, path: Path, identity: dict[str, object], losses: Sequence[float]
) -> None:
    """Writes `training` and its losses so far as one whole file, for this `identity` alone."""
    tensors = {**training.state(), "losses": np.asarray(losses, np.float64)}
    with atomic_file(path) as temporary:
        # not save_file: it reports a full disk as an error of its own kind
        temporary.write_bytes(save(tensors, metadata={"identity": _canonical(identity)}))


def restore_state(training: Training, path: Path, identity: dict[str, object]) -> list[float]:
    """The losses of the steps that are done; none when there is no state.

    Raises:
        UsageError: the state is of another identity.
        DataError: the file is damaged.
    """
    if not path.exists():
        return []
    try:
        with safe_open(path, framework="numpy") as stored:
            theirs = json.loads((stored.metadata() or {})["identity"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        ours = json.loads(_canonical(identity))
        different = sorted(key for key in ours | theirs if ours.get(key) != theirs.get(key))
        if different:
            raise UsageError(
                f"{path.parent} holds a tuning with another {', '.join(different)}; "
                "remove that folder, or choose another --out"
            )
        losses = [float(loss) for loss in tensors.pop("losses")]
        training.restore(tensors)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise DataError(
            f"the state {path} cannot be used ({error}); remove {path.parent} to start again"
        ) from error
    say(f"  going on after step {len(losses)}")
    return losses


def _canonical(identity: dict[str, object]) -> str:
    return json.dumps(identity, sort_keys=True)
