"""What a part has to show: tables under their titles, which a terminal and Markdown lay out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from dualtower_benchmarks.scenario.columns import aligned

__all__ = ["Block", "blocks_text"]


@dataclass(frozen=True)
class Block:
    """A table under its title, and what is to be known of it.

    Args:
        title: above it; "" leaves it out.
        head: of the columns, with their units.
        rows: none leave the table out.
        left: positions of the columns of words.
        notes: a line each, below.
        indent: of everything below the title, on a terminal.
    """

    title: str = ""
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    left: Collection[int] = (0,)
    notes: Sequence[str] = ()
    indent: str = ""


def blocks_text(blocks: Iterable[Block]) -> str:
    """All of them for a terminal, one below the other."""
    lines: list[str] = []
    for block in blocks:
        lines += [block.title] if block.title else []
        below = aligned([block.head, *block.rows], left=block.left) if block.rows else []
        lines += [f"{block.indent}{line}" for line in (*below, *block.notes)]
    return "\n".join(lines)
