"""What the files for a phone are calibrated on, and what they are asked, as npz files for workers.

Calibration takes texts of warm items and histories of the training period, of people whom no gate
asks; the questions are the gate's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dualtower.edge.tokenizer import Tokenizer
from dualtower_export.edge_files import half_vectors
from dualtower_export.edge_source import ITEM_TOWER, USER_TOWER
from dualtower_export.gate_data import GateData
from dualtower_trainer.checkpoint import Trained

__all__ = ["HARD_TEXTS", "USERS", "EdgeInputs", "write_edge_inputs"]

USERS = "users.npz"
# beside the catalogue's: without any word, and without any that has a row of its own
HARD_TEXTS = ("", "\N{TEACUP WITHOUT HANDLE}")


@dataclass(frozen=True)
class EdgeInputs:
    """Paths by tower, of the form of `EdgeSource.calibration`."""

    calibration: dict[str, Path]
    asked: dict[str, Path]


def write_edge_inputs(
    trained: Trained,
    tokenizer: Tokenizer,
    data: GateData,
    scratch: Path,
    *,
    calibration_examples: int,
    seed: int,
) -> EdgeInputs:
    """Writes the four files into `scratch`.

    Args:
        trained: the run.
        tokenizer: of the item tower.
        data: what the gates ask, and the histories of others.
        scratch: the folder.
        calibration_examples: the most rows to calibrate on.
        seed: picks the texts.
    """
    calibration = {
        tower: scratch / f"{tower}.calibration.npz" for tower in (ITEM_TOWER, USER_TOWER)
    }
    asked = {ITEM_TOWER: scratch / "items.npz", USER_TOWER: scratch / USERS}
    warm = np.flatnonzero(trained.warm)
    some = np.sort(np.random.default_rng(seed).permutation(warm)[:calibration_examples])
    texts = {
        calibration[ITEM_TOWER]: list(trained.texts[some]),
        asked[ITEM_TOWER]: [*trained.texts[data.candidates], *HARD_TEXTS],
    }
    for path, chosen in texts.items():
        ids, mask = tokenizer(chosen)
        short = [(0, 0), (0, trained.max_tokens - ids.shape[1])]
        np.savez(path, ids=np.pad(ids, short), mask=np.pad(mask, short))
    vectors = half_vectors(trained.vectors)
    histories = {calibration[USER_TOWER]: data.others, asked[USER_TOWER]: data.histories}
    for path, people in histories.items():
        rows, present = _histories(people, trained.config.history_items)
        np.savez(path, rows=rows, mask=present, vectors=vectors)
    return EdgeInputs(calibration, asked)


def _histories(histories: Sequence[np.ndarray], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows int32 [users, width] and mask float32 [users, width]."""
    rows = np.zeros((len(histories), width), np.int32)
    mask = np.zeros((len(histories), width), np.float32)
    for user, history in enumerate(histories):
        recent = history[:width]
        rows[user, : len(recent)], mask[user, : len(recent)] = recent, 1
    return rows, mask
