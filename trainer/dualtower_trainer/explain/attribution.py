"""What an explanation says: players, what each contributes, and what all of it adds up to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Attribution", "Explanation", "ItemExplanation", "Player"]


@dataclass(frozen=True)
class Player:
    """What takes part in a score, and what it contributes.

    Attributes:
        kind: "item", "word", or "id" for what an item's vector has beyond its text.
        name: the item id, the word, or the item id.
        text: of the item; "" for a word.
        value: its Shapley value, a part of the score.
        error: standard error; 0 when the value is exact.
    """

    kind: str
    name: str
    text: str
    value: float
    error: float


@dataclass(frozen=True)
class Attribution:
    """The players of one game in their own order; their values sum to `full` − `empty`."""

    players: tuple[Player, ...]
    empty: float
    full: float
    exact: bool

    def by_influence(self) -> list[Player]:
        """The players, the greatest contribution first, whatever its sign."""
        return sorted(self.players, key=lambda player: -abs(player.value))


@dataclass(frozen=True)
class ItemExplanation:
    """One item: its place in the user's list, its score, and three views of where that comes from.

    Attributes:
        rank: 1 for the best; None for an item that is blocked or was taken before.
        score: cosine of user and item.
        history: the items of the history.
        words: the words of this item.
        history_words: by item id, the words of the most influential items of the history.
    """

    item_id: str
    text: str
    rank: int | None
    score: float
    history: Attribution
    words: Attribution
    history_words: dict[str, Attribution]


@dataclass(frozen=True)
class Explanation:
    """A user and the items that were explained.

    Attributes:
        history_items: items of the run's catalogue in the user's history.
        items_read: the most recent of these, which the user tower reads; the others have no part
            in any score.
    """

    user_id: str
    history_items: int
    items_read: int
    items: tuple[ItemExplanation, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)
