"""Users whose future is to be predicted: what they took before, and what they took in a segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower_trainer.data.dataset import Interactions, Strings
from dualtower_trainer.data.merge import contains, lists_by_user, merge_repeats, pair_codes

__all__ = ["Heldout", "hold_out"]

Rows = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Heldout:
    """Users whose future is to be predicted; every attribute has one entry per user.

    Attributes:
        users: int32 codes, ascending.
        user_ids: their ids.
        histories: int32 catalogue rows before the segment, most recent first, no cold items.
        warm_targets: int32 rows of warm items that are new to the user in the segment, by time.
        cold_targets: int32 rows of cold items bought in the segment, by time.
    """

    users: npt.NDArray[np.int32]
    user_ids: Strings
    histories: list[Rows]
    warm_targets: list[Rows]
    cold_targets: list[Rows]

    def __len__(self) -> int:
        return len(self.users)


def hold_out(
    log: Interactions,
    visible: Flags,
    inside: Flags,
    *,
    cold: Flags,
    warm: Flags,
    blocked: Flags,
    min_history: int,
) -> tuple[Heldout, dict[str, Any]]:
    """Histories, targets, and counts of what fell away; nobody is held out by an empty segment.

    Args:
        log: the whole log, sorted by `sort_by_pair`.
        visible: bool [interactions], what may be known: the histories.
        inside: bool [interactions], the segment: the targets.
        cold: bool [items], in no history; their purchases are the cold targets.
        warm: bool [items]; their first purchases are the warm targets.
        blocked: bool [items], never recommended and therefore no targets.
        min_history: history items that a user needs.
    """
    history = merge_repeats(log.where(visible & ~cold[log.items]))
    segment = log.where(inside)
    pairs = merge_repeats(segment, last=False)
    known = contains(pair_codes(history, len(cold)), pair_codes(pairs, len(cold)))
    is_cold, is_warm, is_blocked = cold[pairs.items], warm[pairs.items], blocked[pairs.items]
    warm_pairs = pairs.where(is_warm & ~known & ~is_blocked)
    cold_pairs = pairs.where(is_cold & ~is_blocked)

    lengths, buys, warm_aims, cold_aims = (
        np.bincount(part.users, minlength=len(log.user_ids))
        for part in (history, segment, warm_pairs, cold_pairs)
    )
    aims = warm_aims + cold_aims
    enough = lengths >= min_history
    chosen = enough & (aims > 0)
    users = np.flatnonzero(chosen).astype(np.int32)
    heldout = Heldout(
        users,
        log.user_ids[users],
        lists_by_user(history, users),
        lists_by_user(warm_pairs, users),
        lists_by_user(cold_pairs, users),
    )
    report = {
        "rows": len(segment),
        "merged_repeat_rows": len(segment) - len(pairs),
        "dropped_targets": {
            "bought_before": int((is_warm & known & ~is_blocked).sum()),
            "item_not_in_train": int((~is_warm & ~is_cold & ~is_blocked).sum()),
            "blocked_item": int(is_blocked.sum()),
            "user_not_held_out": int(aims[~chosen].sum()),
        },
        "dropped_users": {
            "short_history": int(((buys > 0) & ~enough).sum()),
            "no_target": int(((buys > 0) & enough & (aims == 0)).sum()),
        },
        "users": len(users),
        "users_with_warm_targets": int((warm_aims[users] > 0).sum()),
        "users_with_cold_targets": int((cold_aims[users] > 0).sum()),
        "warm_targets": int(warm_aims[users].sum()),
        "cold_targets": int(cold_aims[users].sum()),
        "history_items": int(lengths[users].sum()),
    }
    return heldout, report
