"""What a recipe for a TFLite file may read: the run, a tower, and inputs of the training period."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from dualtower_trainer.checkpoint import Trained

__all__ = ["ITEM_TOWER", "USER_TOWER", "EdgeSource", "cut_to"]

ITEM_TOWER, USER_TOWER = "item_tower", "user_tower"
_ANY_LENGTH = 0


@dataclass(frozen=True, eq=False)
class EdgeSource:
    """The input of every recipe.

    Attributes:
        trained: the run.
        tower: ITEM_TOWER or USER_TOWER.
        calibration: arrays [examples, ...] of the training period, none of a person whom the gates
            compare on. Of the item tower `ids` and `mask` int32 [examples, item_tokens]; of the
            user tower `rows` int32 and `mask` float32 [examples, history_items] with `vectors`
            float16 [items, dim].
        tokens: length of the item tower's input; 0 leaves it free. Not read for a user tower.
        steps: of a recipe that trains.
        seed: of everything random.
    """

    trained: Trained
    tower: str
    calibration: Mapping[str, np.ndarray]
    tokens: int
    steps: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.tower not in (ITEM_TOWER, USER_TOWER):
            raise ValueError(f"tower must be {ITEM_TOWER} or {USER_TOWER}, got {self.tower}")
        if not 0 <= self.tokens <= self.trained.max_tokens or self.tokens == 1:
            raise ValueError(
                f"tokens must be 0, or from 2 to the run's {self.trained.max_tokens}; "
                f"got {self.tokens}"
            )

    @property
    def static_tokens(self) -> int | None:
        """The length, or None where it is free."""
        return None if self.tokens == _ANY_LENGTH else self.tokens

    @property
    def examples(self) -> int:
        """How many rows the calibration inputs have."""
        return len(self.calibration["mask"])

    def requests(self) -> Iterator[dict[str, np.ndarray]]:
        """The calibration inputs as the file's own, one row at a time.

        A text that is longer than the file reads ends in its [SEP] all the same.
        """
        for row in range(self.examples):
            example = {
                name: value[row : row + 1]
                for name, value in self.calibration.items()
                if name != "vectors"
            }
            if self.tower == USER_TOWER:
                vectors = self.calibration["vectors"][example.pop("rows")].astype(np.float32)
                yield {"items": vectors * example["mask"][..., None], "mask": example["mask"]}
            else:
                width = self.tokens or int(example["mask"].sum())
                yield cut_to(example, width)


def cut_to(texts: Mapping[str, np.ndarray], tokens: int) -> dict[str, np.ndarray]:
    """`ids` and `mask` int32 [texts, wide] as a shorter tokeniser gives them, [texts, tokens].

    Word pieces beyond the limit go, and [SEP] stays last, as `Tokenizer` has it.
    """
    ids, mask = texts["ids"], texts["mask"]
    length = mask.sum(axis=1)
    last = ids[np.arange(len(ids)), np.maximum(length - 1, 0)]
    short, present = ids[:, :tokens].copy(), mask[:, :tokens].copy()
    if (room := tokens - short.shape[1]) > 0:
        short, present = (np.pad(part, [(0, 0), (0, room)]) for part in (short, present))
    short[length > tokens, -1] = last[length > tokens]
    return {"ids": short, "mask": present}
