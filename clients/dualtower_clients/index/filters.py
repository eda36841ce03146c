"""Which items may be found. Pure: the forms that a caller may give, and the rows they leave.

{"i1", "i7"}                              these ids; the ones that are not there do no harm
{"category": "dairy"}                     items of one category
{"category": ["dairy", "bread"]}          of several
lambda item_id, category: ...             whatever a function says, asked for every item
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualtower.errors import UsageError
from dualtower_clients.index.checks import is_list, read_text
from dualtower_clients.index.items import Items

__all__ = ["Filter", "InCategories", "Keep", "WithIds", "kept_rows", "read_filter"]

Predicate = Callable[[str, str], bool]
Filter = Collection[str] | Mapping[str, str | Collection[str]] | Predicate

_FIELD = "category"


@dataclass(frozen=True)
class WithIds:
    """Only these items."""

    item_ids: frozenset[str]


@dataclass(frozen=True)
class InCategories:
    """Only items of these categories."""

    categories: frozenset[str]


Keep = WithIds | InCategories | Predicate


def read_filter(given: Filter | None) -> Keep | None:
    """The filter as a backend takes it; None keeps all.

    Raises:
        UsageError: it has no such form.
    """
    if given is None or callable(given):
        return given
    if isinstance(given, Mapping):
        if set(given) != {_FIELD}:
            raise UsageError(
                f"a filter can ask for the field {_FIELD!r}, got {sorted(map(str, given))}; "
                "for anything else give a function of item_id and category, or a set of ids"
            )
        wanted = given[_FIELD]
        return InCategories(_texts([wanted] if isinstance(wanted, str) else wanted, "a category"))
    if isinstance(given, (str, bytes)) or not isinstance(given, Collection):
        raise UsageError(
            f"filter must be a set of ids, {{{_FIELD!r}: ...}} or a function, got {given!r}"
        )
    return WithIds(_texts(given, "an id"))


def _texts(given: Collection[str], what: str) -> frozenset[str]:
    if not is_list(given):
        raise UsageError(f"{what} of a filter must be a string or a list of them, got {given!r}")
    return frozenset(read_text(one, f"{what} of a filter") for one in given)


def kept_rows(items: Items, keep: Keep) -> NDArray[np.int64]:
    """The rows that a filter leaves, rising."""
    if isinstance(keep, WithIds):
        return items.rows(keep.item_ids)
    if isinstance(keep, InCategories):
        rows = items.rows_of_category
        chosen = [rows[category] for category in keep.categories if category in rows]
        return np.sort(np.concatenate([np.zeros(0, np.int64), *chosen]).astype(np.int64))
    pairs = zip(items.item_ids, items.categories, strict=True)
    kept = [bool(keep(item_id, category)) for item_id, category in pairs]
    return np.flatnonzero(np.array(kept, bool))
