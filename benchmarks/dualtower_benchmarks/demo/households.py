"""Which people the demo asks for: the first by hash, so that nobody was picked for the result."""

from __future__ import annotations

import hashlib
from typing import Any

from dualtower_trainer.checkpoint import Trained
from dualtower_trainer.data import Heldout

__all__ = ["choose_households"]

_SALT = "demo-v1"
_LEAST_HISTORY = 10


def choose_households(trained: Trained, test: Heldout, count: int) -> list[dict[str, Any]]:
    """`count` held-out households with a history of some length.

    Returns:
        per household `user_id`, `history` (texts, most recent first) and `later`: the ids of what
        they bought for the first time in the test period.
    """
    order = sorted(
        range(len(test)),
        key=lambda place: hashlib.md5(f"{_SALT}{test.user_ids[place]}".encode()).hexdigest(),
    )
    long_enough = [place for place in order if len(test.histories[place]) >= _LEAST_HISTORY]
    return [
        {
            "user_id": str(test.user_ids[place]),
            "history": [str(trained.texts[row]) for row in test.histories[place]],
            "later": [
                str(trained.item_ids[row])
                for row in (*test.warm_targets[place], *test.cold_targets[place])
            ],
        }
        for place in (long_enough or order)[:count]
    ]
