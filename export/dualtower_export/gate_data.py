"""The users and the texts on which the gates compare; a bounded, seeded sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dualtower.errors import DataError
from dualtower_export.config import ExportConfig
from dualtower_trainer.checkpoint import Trained
from dualtower_trainer.data import load_dataset, split
from dualtower_trainer.data.dataset import Interactions
from dualtower_trainer.data.merge import lists_by_user

__all__ = ["GateData", "choose", "chosen_users", "load_gate_data"]


@dataclass(frozen=True)
class GateData:
    """What the gates compare on.

    Attributes:
        histories: catalogue rows of each user's past, most recent first.
        targets: catalogue rows that each user took later, warm and cold.
        candidates: catalogue rows whose texts are embedded, ascending; all targets that fit first.
        period: "test", or "validation" of a run that holds no test period.
        others: catalogue rows of the histories of people who are not among these, from the
            training period, most recent first: what a file for a phone may be calibrated on.
        seen: whether training has seen that period, as the last fit of a run without a test has.
            Two formats of one model may be compared on it all the same; it says nothing about how
            good the model is.
    """

    histories: list[np.ndarray]
    targets: list[np.ndarray]
    candidates: np.ndarray
    period: str = "test"
    seen: bool = False
    others: Sequence[np.ndarray] = ()

    def as_json(self) -> dict[str, Any]:
        """The entry of a manifest."""
        facts = {"users": len(self.histories), "texts": len(self.candidates)}
        return {**facts, "period": self.period, "seen_in_training": self.seen}


def load_gate_data(trained: Trained, config: ExportConfig, data: Path | None = None) -> GateData:
    """Splits the data of a run again and samples the users of its last period.

    Args:
        trained: the run.
        config: how many users and texts, and the seed.
        data: the data folder; None takes the one that the run was trained on.

    Raises:
        DataError: the folder is gone, has another catalogue, or nobody is left in the period.
    """
    folder = data or trained.data_path
    if not folder.is_dir():
        raise DataError(
            f"{folder}, the data that {trained.path} was trained on, is not there, and the gates "
            "compare on its users; give its place with --data DATA"
        )
    parts = split(load_dataset(folder), trained.split)
    if list(parts.catalogue.item_ids) != list(trained.item_ids):
        raise DataError(
            f"{folder} has another catalogue ({len(parts.catalogue)} items) than "
            f"{trained.path} ({len(trained.item_ids)} items); give the data of that training with "
            "--data DATA, or train again"
        )
    period = "test" if trained.split.has_test else "validation"
    heldout = parts.judged
    if not len(heldout):
        share = f"split.{period}_share"
        raise DataError(
            f"nobody is held out in the {period} period of {folder} under the split of "
            f"{trained.path}, so nothing can be gated; train again with a larger --set {share}=…"
        )
    targets = [
        np.concatenate([warm, cold])
        for warm, cold in zip(heldout.warm_targets, heldout.cold_targets, strict=True)
    ]
    chosen = choose(heldout.histories, targets, len(trained.item_ids), config)
    judged = heldout.users[chosen_users(len(heldout), config)]
    return replace(
        chosen,
        period=period,
        seen=period == "validation",
        others=_histories_of_others(parts.full, judged, config),
    )


def chosen_users(people: int, config: ExportConfig) -> np.ndarray:
    """Places of the users whom `choose` takes of so many people, ascending."""
    return np.sort(np.random.default_rng(config.seed).permutation(people)[: config.gate_users])


def choose(
    histories: list[np.ndarray], targets: list[np.ndarray], items: int, config: ExportConfig
) -> GateData:
    """At most `gate_users` users, and at most `gate_texts` of `items` rows for them.

    Targets come first, in random order, since a ranking without any target says nothing.
    """
    random = np.random.default_rng(config.seed)
    users = chosen_users(len(histories), config)
    wanted = np.unique(np.concatenate([targets[user] for user in users]).astype(np.int64))
    rest = np.setdiff1d(np.arange(items), wanted)
    order = np.concatenate([random.permutation(wanted), random.permutation(rest)])
    return GateData(
        histories=[histories[user] for user in users],
        targets=[targets[user] for user in users],
        candidates=np.sort(order[: config.gate_texts]),
    )


def _histories_of_others(
    log: Interactions, judged: np.ndarray, config: ExportConfig
) -> list[np.ndarray]:
    """Histories of at most `calibration_examples` people whom no gate asks.

    Where a gate asks everybody, they are drawn from the log instead, each of as many items as a
    person has on average.
    """
    random = np.random.default_rng(config.seed)
    others = np.setdiff1d(log.users, judged)
    if len(others):
        some = random.permutation(others)[: config.calibration_examples]
        return lists_by_user(log, np.sort(some))
    pieces = max(1, min(config.calibration_examples, len(np.unique(log.users))))
    return np.array_split(random.permutation(log.items), pieces)
