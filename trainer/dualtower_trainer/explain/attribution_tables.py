"""An explanation as tables: what is known of nobody, who adds what, and the score they sum to."""

from __future__ import annotations

import itertools

from dualtower.tables import Table
from dualtower_trainer.explain.attribution import (
    Attribution,
    Explanation,
    ItemExplanation,
    Player,
)

__all__ = ["explanation_tables", "heading", "label", "shortened", "signed"]

_MOST_ROWS = 8
_MOST_CHARS = 60


def explanation_tables(explanation: Explanation) -> list[Table]:
    """Three kinds of tables for each item: by history, by its words, by words of the history."""
    tables = []
    for item in explanation.items:
        tables.append(_table(heading(item), item.history, "nothing known of them", "items"))
        tables.append(_table("… by its words", item.words, "no word", "words"))
        for item_id, words in item.history_words.items():
            text = next(p.text for p in item.history.players if p.name == item_id)
            title = f"… by the words of {shortened(text, _MOST_CHARS)} ({item_id})"
            tables.append(_table(title, words, "without them", "words"))
    return tables


def heading(item: ItemExplanation) -> str:
    """`1. text (id)`, or without a number when the item is never recommended to this user."""
    place = f"{item.rank}. " if item.rank else ""
    why = "" if item.rank else ", not recommended: taken before, or blocked"
    return f"{place}{shortened(item.text, _MOST_CHARS)} ({item.item_id}){why}"


def label(player: Player, most: int) -> str:
    """What a player is called, in at most `most` characters: an item by its text."""
    if player.kind == "id":
        return "(its id)"
    return shortened(player.text or player.name, most)


def shortened(text: str, most: int) -> str:
    """The text in one line of at most `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def signed(value: float, digits: int) -> str:
    """`+0.123`, and no sign before what rounds to zero."""
    return f"{value:+.{digits}f}" if round(value, digits) else f"{0:.{digits}f}"


def _table(title: str, attribution: Attribution, nobody: str, kind: str) -> Table:
    ranked = attribution.by_influence()
    shown, rest = ranked[:_MOST_ROWS], ranked[_MOST_ROWS:]
    rows = [(nobody, "", f"{attribution.empty:.4f}", "")]
    for player in shown:
        error = "" if attribution.exact else f"±{player.error:.4f}"
        item_id = player.name if player.kind == "item" else ""
        rows.append((label(player, _MOST_CHARS), item_id, signed(player.value, 4), error))
    if rest:
        rows.append((f"{len(rest)} other {kind}", "", signed(sum(p.value for p in rest), 4), ""))
    rows.append(("score", "", f"{attribution.full:.4f}", ""))
    used = [any(column) for column in zip(*rows, strict=True)]  # words have no ids, exact no errors
    return Table(title, [tuple(itertools.compress(row, used)) for row in rows])
