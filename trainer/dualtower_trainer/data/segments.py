"""Which segment of a split each interaction belongs to: train, validation or test.

    time      one cut for everybody            ──── train ────┤ validation ├ test
    last      one cut per user                 a b c d e f    │     g      │  h
    random    user-item pairs by hash          whatever the time

With `last` the items of a user are ordered by when they were first taken (of one moment: by hash);
whatever the user does after the held-out item, repeats of older items included, is not visible to
what predicts it. Other users' later interactions are: that is what sets it apart from `time`. With
`random` all rows of one user and item stay together. The hash depends on the two ids alone, so that
a pair keeps its segment when the log grows.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dualtower_trainer.data.dataset import Interactions, Strings
from dualtower_trainer.data.merge import pair_starts
from dualtower_trainer.data.split_config import SplitConfig

__all__ = ["TEST", "TRAIN", "VALIDATION", "Segments", "pair_fractions", "segment_rows"]

TRAIN, VALIDATION, TEST = 0, 1, 2
_SALT = "segment-v1"
_NEVER_S = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Segments:
    """The segment of every interaction.

    Attributes:
        kind: `time`, `last` or `random`.
        codes: int8 [interactions], TRAIN, VALIDATION or TEST: what it is hidden from.
        targets: bool [interactions], whether it may be a target: with `last` the held-out item.
        validation_start_s: where the whole log is cut, seconds UTC; None for the other kinds.
        test_start_s: likewise; None also where there is no test segment.
    """

    kind: str
    codes: npt.NDArray[np.int8]
    targets: npt.NDArray[np.bool_]
    validation_start_s: int | None = None
    test_start_s: int | None = None


def segment_rows(
    log: Interactions, item_ids: Strings, config: SplitConfig, *, has_time: bool
) -> Segments:
    """The segments of a log that `sort_by_pair` has sorted.

    Raises:
        DataError: the log cannot be cut as configured.
    """
    kind = config.kind_for(has_time)
    if kind == "time":
        validation_s, test_s = config.boundaries_s(log.timestamps)
        late = (log.timestamps >= validation_s).astype(np.int8)
        codes = late + (log.timestamps >= test_s).astype(np.int8)
        test_start_s = test_s if config.has_test else None
        return Segments(kind, codes, np.ones(len(log), bool), validation_s, test_start_s)
    fractions = pair_fractions(log, item_ids)
    if kind == "last":
        return Segments(kind, *_last_items(log, fractions, config))
    codes = np.zeros(len(log), np.int8)
    share = config.test_share + (1 - config.test_share) * config.validation_share
    codes[fractions < share] = VALIDATION
    codes[fractions < config.test_share] = TEST
    return Segments(kind, codes, np.ones(len(log), bool))


def pair_fractions(log: Interactions, item_ids: Strings) -> npt.NDArray[np.float64]:
    """A hash of user id and item id in [0, 1), uniform over the pairs, [interactions].

    MD5 of each id, combined by the finaliser of splitmix64 (Steele, Lea and Flood, "Fast splittable
    pseudorandom number generators", 2014).
    """
    users, items = (_id_hashes(ids) for ids in (log.user_ids, item_ids))
    mixed = users[log.users] + items[log.items] * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    fractions: npt.NDArray[np.float64] = (mixed >> np.uint64(11)) / 2.0**53
    return fractions


def _id_hashes(ids: Strings) -> npt.NDArray[np.uint64]:
    digests = (hashlib.md5((_SALT + i).encode(), usedforsecurity=False).digest() for i in ids)
    return np.fromiter((int.from_bytes(d[:8], "big") for d in digests), np.uint64, len(ids))


def _last_items(
    log: Interactions, fractions: npt.NDArray[np.float64], config: SplitConfig
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.bool_]]:
    """TEST for a user's last item, VALIDATION for the one before, and for all that came after.

    Returns:
        The codes, and which interactions may be targets: the held-out items in their segment.
    """
    starts = pair_starts(log)
    users, times_s = log.users[starts], log.timestamps[starts]
    order = np.lexsort((fractions[starts], times_s, users))
    counts = np.bincount(users, minlength=len(log.user_ids))
    from_end = np.empty(len(starts), np.int64)
    from_end[order] = np.cumsum(counts)[users[order]] - 1 - np.arange(len(starts))

    codes, own = np.zeros(len(log), np.int8), np.zeros(len(log), np.int8)
    pair_of_row = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(log)))
    for place, segment in enumerate((TEST, VALIDATION) if config.has_test else (VALIDATION,)):
        chosen = (from_end == place) & (counts[users] > place + config.min_history)
        since_s = np.full(len(log.user_ids), _NEVER_S)
        since_s[users[chosen]] = times_s[chosen]
        ours = chosen[pair_of_row]
        later = ours | (log.timestamps > since_s[log.users])
        codes[later] = np.maximum(codes[later], segment)
        own[ours] = segment
    return codes, (own != TRAIN) & (own == codes)
