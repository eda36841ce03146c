"""A part of the page, before it becomes HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dualtower_benchmarks.report.svg import Panel
from dualtower_benchmarks.report.tables import Table

__all__ = ["Fold", "Section"]


@dataclass(frozen=True)
class Fold:
    """Panels that stay closed until asked for."""

    caption: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Args:
        key: its anchor.
        note: how to read it.
        missing: why it holds nothing, "" where it does.
        commands: lines to copy.
        folds: panels that stay closed until asked for.
        folded: tables that do.
    """

    key: str
    title: str
    note: str = ""
    missing: str = ""
    panels: Sequence[Panel] = ()
    tables: Sequence[Table] = ()
    folds: Sequence[Fold] = ()
    folded: Sequence[Table] = ()
    commands: Sequence[str] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it only says why it holds nothing; such stand together at the end."""
        return bool(self.missing) and not (
            self.panels or self.tables or self.folds or self.folded or self.commands
        )
