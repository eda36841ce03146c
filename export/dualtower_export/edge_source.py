"""What a recipe for a TFLite file may read: the run, a tower, and inputs of the training period.

No TensorFlow: what only asks a file reads its requests by this too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dualtower_trainer.checkpoint import Trained

__all__ = ["ANY_LENGTH", "ITEM_TOWER", "USER_TOWER", "EdgeSource", "cut_to", "requests_of"]

ITEM_TOWER, USER_TOWER = "item_tower", "user_tower"
ANY_LENGTH = 0

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class EdgeSource:
    """The input of every recipe.

    Attributes:
        trained: the run.
        tower: ITEM_TOWER or USER_TOWER.
        calibration: arrays [examples, ...] of the training period, none of a person whom the gates
            compare on; see `requests_of`.
        tokens: length of the item tower's input, or ANY_LENGTH. Not read for a user tower.
        steps: of a recipe that trains.
        seed: of everything random.
    """

    trained: Trained
    tower: str
    calibration: Arrays
    tokens: int
    steps: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.tower not in (ITEM_TOWER, USER_TOWER):
            raise ValueError(f"tower must be {ITEM_TOWER} or {USER_TOWER}, got {self.tower}")
        if not 0 <= self.tokens <= self.trained.max_tokens or self.tokens == 1:
            raise ValueError(
                f"tokens must be {ANY_LENGTH}, or from 2 to the run's {self.trained.max_tokens}; "
                f"got {self.tokens}"
            )

    @property
    def static_tokens(self) -> int | None:
        """The length, or None where it is free."""
        return None if self.tokens == ANY_LENGTH else self.tokens

    def requests(self) -> Iterator[dict[str, np.ndarray]]:
        """The calibration inputs as the file's own, one row at a time."""
        return requests_of(self.tower, self.calibration, self.tokens)


def requests_of(tower: str, arrays: Arrays, tokens: int) -> Iterator[dict[str, np.ndarray]]:
    """Inputs of a tower's file, one row [1, ...] at a time.

    Args:
        tower: ITEM_TOWER or USER_TOWER.
        arrays: of an item tower `ids` and `mask` int32 [rows, item_tokens]; of a user tower `rows`
            int32 and `mask` float32 [rows, history_items] with `vectors` float16 [items, dim],
            which take less room than the vectors of every history.
        tokens: length of the item tower's input; ANY_LENGTH gives each text its own.
    """
    for row in range(len(arrays["mask"])):
        example = {
            name: value[row : row + 1] for name, value in arrays.items() if name != "vectors"
        }
        if tower == USER_TOWER:
            vectors = arrays["vectors"][example.pop("rows")].astype(np.float32)
            yield {"items": vectors * example["mask"][..., None], "mask": example["mask"]}
        else:
            yield cut_to(example, tokens or int(example["mask"].sum()))


def cut_to(texts: Arrays, tokens: int) -> dict[str, np.ndarray]:
    """`ids` and `mask` int32 [texts, wide] as a shorter tokeniser gives them, [texts, tokens].

    Word pieces beyond the limit go, and [SEP] stays last, as `Tokenizer` has it.
    """
    ids, mask = texts["ids"], texts["mask"]
    length = mask.sum(axis=1)
    last = ids[np.arange(len(ids)), np.maximum(length - 1, 0)]
    room = [(0, 0), (0, max(tokens - ids.shape[1], 0))]
    ids, mask = np.pad(ids, room)[:, :tokens].copy(), np.pad(mask, room)[:, :tokens].copy()
    too_long = length > tokens
    ids[too_long, -1] = last[too_long]
    return {"ids": ids, "mask": mask}
