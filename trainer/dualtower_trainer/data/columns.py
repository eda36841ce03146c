"""Which column of a file plays which role."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from dualtower.errors import DataError, UsageError
from dualtower_trainer.data.record import RowSource

__all__ = ["INTERACTION_ROLES", "ITEM_ROLES", "Role", "choose_columns"]


_NAME_CHARACTERS = 40


@dataclass(frozen=True)
class Role:
    """A role, the column names that are taken for it, first match first, and whether it must be."""

    name: str
    columns: tuple[str, ...]
    required: bool = False


INTERACTION_ROLES = (
    Role("user_id", ("user_id",), required=True),
    Role("item_id", ("item_id",), required=True),
    Role("timestamp", ("timestamp",)),
    Role("event", ("event",)),
    Role("weight", ("weight",)),
    Role("rating", ("rating",)),
)
ITEM_ROLES = (
    Role("item_id", ("item_id",), required=True),
    Role("text", ("text", "title"), required=True),
    Role("category", ("category",)),
    Role("blocked", ("blocked",)),
    Role("features", ("features",)),
)


def choose_columns(
    source: RowSource, roles: tuple[Role, ...], chosen: Mapping[str, str], option: str | None
) -> dict[str, str]:
    """`{role: column}` of the roles that the file can play, in the order of `roles`.

    Args:
        source: the file.
        roles: what is looked for.
        chosen: the user's own `{role: column}`, which go before the usual names.
        option: the command-line option that set `chosen`, for the messages; None where a command
            has none, and nothing is chosen.

    Raises:
        UsageError: `chosen` names no role of these.
        DataError: a required or a chosen column is not in the file.
    """
    names = [role.name for role in roles]
    for name in chosen:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
            raise UsageError(f"{option} {name}={chosen[name]}: no such column role; {hint}")
    found = {}
    for role in roles:
        wanted = (chosen[role.name],) if role.name in chosen else role.columns
        column = next((name for name in wanted if name in source.columns), None)
        if column is not None:
            found[role.name] = column
        elif role.required or role.name in chosen:
            have = ", ".join(repr(_shortened(name)) for name in source.columns[:30])
            remedy = (
                f"name the right one with {option} {role.name}=COLUMN"
                if option
                else f"rename the right one to {role.name}"
            )
            raise DataError(
                f"{source.path} has no column {' or '.join(map(repr, wanted))}, it has {have}; "
                f"{remedy}"
            )
    return found


def _shortened(name: str) -> str:
    """A column's name as a message shows it; that of a file of no text could fill the screen."""
    return name if len(name) <= _NAME_CHARACTERS else f"{name[:_NAME_CHARACTERS]}…"
