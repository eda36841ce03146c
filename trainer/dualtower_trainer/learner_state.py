"""The checkpoint of a training in progress: one file from which it goes on exactly.

now/…  best/…       weights by name, as they are and as they were at the best look
optimizer/…         moments and step counters
stream/…            what the batches carry from step to step
metadata: facts     step, history, losses, seconds; JSON
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from dualtower.errors import DataError
from dualtower.files import atomic_file
from dualtower_trainer.learner import Learner

__all__ = ["restore_learner", "save_learner"]


def save_learner(
    path: Path,
    learner: Learner,
    best: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
    stream: Mapping[str, np.ndarray],
) -> None:
    """Writes weights, optimiser, the best weights so far and `facts` as one whole file.

    `stream` is the state of the batches, for whoever draws them.
    """
    tensors = {f"now/{name}": value for name, value in learner.weights().items()}
    tensors |= {f"best/{name}": value for name, value in best.items()}
    tensors |= {f"stream/{name}": value for name, value in stream.items()}
    tensors |= {
        f"optimizer/{place:03d}": np.asarray(variable.numpy())
        for place, variable in enumerate(learner.slots)
    }
    with atomic_file(path) as temporary:
        # not save_file: it reports a full disk as an error of its own kind
        temporary.write_bytes(save(tensors, metadata={"facts": json.dumps(facts)}))


def restore_learner(
    path: Path, learner: Learner
) -> tuple[dict[str, np.ndarray], dict[str, Any], dict[str, np.ndarray]]:
    """Continues from a file of `save_learner`; returns the best weights, the facts and the stream.

    Raises:
        DataError: the file is truncated or belongs to other shapes.
    """
    try:
        with safe_open(path, framework="numpy") as stored:
            facts = json.loads((stored.metadata() or {})["facts"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        learner.set_weights(_below(tensors, "now/"))
        for place, variable in enumerate(learner.slots):
            variable.assign(tensors[f"optimizer/{place:03d}"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise DataError(
            f"the checkpoint {path} cannot be used ({error}); start again with --overwrite"
        ) from error
    return _below(tensors, "best/"), facts, _below(tensors, "stream/")


def _below(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
