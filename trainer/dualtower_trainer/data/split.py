"""Train, validation and test by time, and items held out as cold by hash.

    first ──────────── validation_start ──────── test_start ──────── last
      train                 validation targets        test targets
      └── history of validation ──┘
      └──────────────── history of test ───────────┘

Nothing after a segment's start is visible to what predicts it. Repeats are merged *within* what is
visible: one entry per user and item, weight summed, at the time of the last purchase. Cold items
(by hash, so that they are the same in every run and for every method) are taken out of train and of
every history; they appear as targets only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower.errors import DataError
from dualtower_trainer.data.dataset import Catalogue, Dataset, Interactions, Strings

__all__ = ["Heldout", "Split", "SplitConfig", "cold_fraction", "split"]

DAY_S = 86_400
Rows = npt.NDArray[np.int32]


@dataclass(frozen=True)
class SplitConfig:
    """Where the log is cut, and which items are held out.

    Attributes:
        validation_days: length of the validation segment, which ends where test begins.
        test_days: length of the test segment, which ends with the last day of the log.
        cold_share: expected share of the items that are held out.
        cold_salt: an item is cold when md5(salt + item_id) / 2^128 is below `cold_share`.
        min_history: history items that a held-out user needs.
        test_start: ISO date (UTC) that replaces `test_days`.
        validation_start: ISO date (UTC) that replaces `validation_days`.
    """

    validation_days: float = 28.0
    test_days: float = 28.0
    cold_share: float = 0.15
    cold_salt: str = "cold-v1"
    min_history: int = 1
    test_start: str | None = None
    validation_start: str | None = None

    def __post_init__(self) -> None:
        for name in ("validation_days", "test_days"):
            if not 0 < getattr(self, name) < 100_000:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if not 0 <= self.cold_share < 1:
            raise ValueError(f"cold_share must be in [0, 1), got {self.cold_share}")
        if self.min_history < 1:
            raise ValueError(f"min_history must be at least 1, got {self.min_history}")
        for name in ("test_start", "validation_start"):
            if (date := getattr(self, name)) is not None:
                _seconds(date, name)

    def boundaries_s(self, first_s: int, last_s: int) -> tuple[int, int]:
        """`validation_start` and `test_start` in seconds UTC for a log from first to last.

        Raises:
            DataError: the log does not reach over both boundaries.
        """
        end_s = (last_s // DAY_S + 1) * DAY_S
        if self.test_start is not None:
            test_s = _seconds(self.test_start, "test_start")
        else:
            test_s = end_s - round(self.test_days * DAY_S)
        if self.validation_start is not None:
            validation_s = _seconds(self.validation_start, "validation_start")
        else:
            validation_s = test_s - round(self.validation_days * DAY_S)
        if not first_s < validation_s < test_s <= last_s:
            raise DataError(
                f"the log runs from {_iso(first_s)} to {_iso(last_s)}, so it cannot be cut at "
                f"validation_start {_iso(validation_s)} and test_start {_iso(test_s)}; give a "
                "shorter --set split.validation_days=… and --set split.test_days=…"
            )
        return validation_s, test_s


@dataclass(frozen=True, eq=False)
class Heldout:
    """Users whose future is to be predicted; every attribute has one entry per user.

    Attributes:
        users: int32 codes, ascending.
        user_ids: their ids.
        histories: int32 catalogue rows before the segment, most recent first, no cold items.
        warm_targets: int32 rows of warm items first bought in the segment, by time.
        cold_targets: int32 rows of cold items bought in the segment, by time.
    """

    users: npt.NDArray[np.int32]
    user_ids: Strings
    histories: list[Rows]
    warm_targets: list[Rows]
    cold_targets: list[Rows]

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True, eq=False)
class Split:
    """A data set cut by time and by cold items.

    Attributes:
        cold: bool [items], held out by hash.
        warm: bool [items], not cold and bought at least once in train.
        train: one row per user and item, by user and then most recent first.
        report: counts of every step, and what was dropped and why; plain JSON.
    """

    catalogue: Catalogue
    config: SplitConfig
    cold: npt.NDArray[np.bool_]
    warm: npt.NDArray[np.bool_]
    train: Interactions
    validation: Heldout
    test: Heldout
    report: dict[str, Any]


def split(dataset: Dataset, config: SplitConfig | None = None) -> Split:
    """Cuts a data set; deterministic, and independent of the order of its rows.

    Raises:
        DataError: the log is too short for the boundaries, or nothing is left to train on.
    """
    config = config or SplitConfig()
    catalogue, log = dataset.catalogue, dataset.interactions
    first_s, last_s = int(log.timestamps.min()), int(log.timestamps.max())
    validation_s, test_s = config.boundaries_s(first_s, last_s)
    cold = np.array(
        [cold_fraction(item, config.cold_salt) < config.cold_share for item in catalogue.item_ids],
        bool,
    )
    before = log.timestamps < validation_s
    is_cold = cold[log.items]
    train = _merge(log.where(before & ~is_cold))
    if not len(train):
        raise DataError(
            f"no interaction with an item that is not cold lies before {_iso(validation_s)}; "
            "give a later --set split.validation_start=DATE or a smaller split.cold_share"
        )
    warm = np.bincount(train.items, minlength=len(catalogue)) > 0
    goal = ~catalogue.blocked  # a blocked item is never recommended, so it is no target
    report: dict[str, Any] = {
        "first": _iso(first_s),
        "validation_start": _iso(validation_s),
        "test_start": _iso(test_s),
        "last": _iso(last_s),
        "interactions": len(log),
        "unknown_item_interactions": dataset.unknown_items,
        "users": len(log.user_ids),
        "items": {
            "catalogue": len(catalogue),
            "cold": int(cold.sum()),
            "warm": int(warm.sum()),
            "not_in_train": int((~cold & ~warm).sum()),
            "blocked": int(catalogue.blocked.sum()),
        },
        "train": {
            "rows_before_validation": int(before.sum()),
            "dropped_cold_rows": int((before & is_cold).sum()),
            "merged_repeat_rows": int((before & ~is_cold).sum()) - len(train),
            "interactions": len(train),
            "users": int((np.bincount(train.users) > 0).sum()),
        },
    }
    heldout = {}
    for name, start_s, end_s in (
        ("validation", validation_s, test_s),
        ("test", test_s, last_s + 1),
    ):
        heldout[name], report[name] = _hold_out(log, start_s, end_s, cold, warm, goal, config)
    return Split(
        catalogue, config, cold, warm, train, heldout["validation"], heldout["test"], report
    )


def cold_fraction(item_id: str, salt: str) -> float:
    """md5 of salt and item id as a fraction of 2^128: uniform over the ids, in [0, 1)."""
    return int.from_bytes(hashlib.md5((salt + item_id).encode()).digest(), "big") / 2**128


def _hold_out(
    log: Interactions,
    start_s: int,
    end_s: int,
    cold: npt.NDArray[np.bool_],
    warm: npt.NDArray[np.bool_],
    goal: npt.NDArray[np.bool_],
    config: SplitConfig,
) -> tuple[Heldout, dict[str, Any]]:
    """Histories before `start_s` and targets in [start_s, end_s) of one segment, with counts."""
    history = _merge(log.where((log.timestamps < start_s) & ~cold[log.items]))
    inside = log.where((log.timestamps >= start_s) & (log.timestamps < end_s))
    pairs = _merge(inside, last=False)
    known = np.isin(_pair_codes(pairs, len(cold)), _pair_codes(history, len(cold)))
    is_cold, is_warm = cold[pairs.items], warm[pairs.items]
    allowed = goal[pairs.items]
    warm_pairs = pairs.where(is_warm & ~known & allowed)
    cold_pairs = pairs.where(is_cold & allowed)

    n_users = len(log.user_ids)
    lengths = np.bincount(history.users, minlength=n_users)
    aims = np.bincount(warm_pairs.users, minlength=n_users)
    aims += np.bincount(cold_pairs.users, minlength=n_users)
    buyers = np.bincount(inside.users, minlength=n_users) > 0
    enough = lengths >= config.min_history
    users = np.flatnonzero(enough & (aims > 0)).astype(np.int32)
    heldout = Heldout(
        users,
        log.user_ids[users],
        _lists(history, users, n_users),
        _lists(warm_pairs, users, n_users),
        _lists(cold_pairs, users, n_users),
    )
    report = {
        "rows": len(inside),
        "merged_repeat_rows": len(inside) - len(pairs),
        "dropped_targets": {
            "bought_before": int((is_warm & known & allowed).sum()),
            "item_not_in_train": int((~is_warm & ~is_cold & allowed).sum()),
            "blocked_item": int((~allowed).sum()),
            "user_not_held_out": int(
                len(warm_pairs)
                + len(cold_pairs)
                - sum(map(len, heldout.warm_targets))
                - sum(map(len, heldout.cold_targets))
            ),
        },
        "dropped_users": {
            "short_history": int((buyers & ~enough).sum()),
            "no_target": int((buyers & enough & (aims == 0)).sum()),
        },
        "users": len(users),
        "users_with_warm_targets": sum(len(rows) > 0 for rows in heldout.warm_targets),
        "users_with_cold_targets": sum(len(rows) > 0 for rows in heldout.cold_targets),
        "warm_targets": sum(map(len, heldout.warm_targets)),
        "cold_targets": sum(map(len, heldout.cold_targets)),
        "history_items": sum(map(len, heldout.histories)),
    }
    return heldout, report


def _merge(log: Interactions, *, last: bool = True) -> Interactions:
    """One row per user and item: weights summed, at the last (or first) of the times.

    Sorted by user, then by time (most recent first, or earliest first), then by item.
    """
    order = np.lexsort((log.timestamps, log.items, log.users))
    users, items, times = log.users[order], log.items[order], log.timestamps[order]
    new = np.ones(len(order), bool)
    new[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
    starts = np.flatnonzero(new)
    weights = np.zeros(0, np.float32)
    if len(starts):
        weights = np.add.reduceat(log.weights[order].astype(np.float64), starts).astype(np.float32)
    ends = np.append(starts[1:], len(order)) - 1
    users, items, times = users[starts], items[starts], times[ends if last else starts]
    order = np.lexsort((items, -times if last else times, users))
    return Interactions(users[order], items[order], times[order], weights[order], log.user_ids)


def _pair_codes(log: Interactions, n_items: int) -> npt.NDArray[np.int64]:
    return log.users.astype(np.int64) * n_items + log.items


def _lists(log: Interactions, users: npt.NDArray[np.int32], n_users: int) -> list[Rows]:
    """The items of each of `users`; `log` is sorted by user."""
    ends = np.cumsum(np.bincount(log.users, minlength=n_users))
    return [log.items[ends[user - 1] if user else 0 : ends[user]] for user in users]


def _seconds(date: str, name: str) -> int:
    try:
        moment = datetime.fromisoformat(date.replace("Z", "+00:00"))
    except ValueError as error:
        raise ValueError(f"{name} must be an ISO date such as 2017-12-01, got {date!r}") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return int(moment.timestamp())


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
