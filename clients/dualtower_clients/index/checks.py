"""What a caller gives, checked before anything is done with it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dualtower.errors import BundleMismatch, UsageError
from dualtower_clients.index.items import Items, named
from dualtower_clients.results import Embeddings

__all__ = [
    "is_list",
    "read_exclude",
    "read_ids",
    "read_items",
    "read_k",
    "read_text",
    "read_vectors",
    "refuse_here",
    "refuse_unknown",
]


def read_vectors(
    given: NDArray[np.float32] | Embeddings, *, dim: int, fingerprint: str
) -> NDArray[np.float32]:
    """Vectors [n, dim] that belong to the index and can be ranked.

    Raises:
        BundleMismatch: the embeddings are of another bundle.
        UsageError: another type, dtype or shape, or values that are not finite.
    """
    if isinstance(given, Embeddings):
        if given.fingerprint != fingerprint:
            raise BundleMismatch(
                expected=f"{fingerprint} (the index's)",
                found=f"{given.fingerprint} (the vectors', version {given.version})",
                where="the index",
                repair="open the index of the bundle that is served, "
                "or embed with the bundle that the index was made from",
            )
        given = given.vectors
    if not isinstance(given, np.ndarray):
        raise UsageError(f"vectors must be a numpy array or Embeddings, got {type(given).__name__}")
    if given.dtype != np.float32:
        raise UsageError(
            f"vectors must be float32, got {given.dtype}; convert with .astype(numpy.float32)"
        )
    if given.ndim != 2 or given.shape[1] != dim:
        hint = "; for one vector give vector[numpy.newaxis]" if given.ndim == 1 else ""
        raise UsageError(f"vectors must be [n, {dim}], got {list(given.shape)}{hint}")
    squares = np.einsum("nd,nd->n", given, given)  # of finite ones only those are not that overflow
    if not np.isfinite(squares).all():
        row = int(np.flatnonzero(~np.isfinite(squares))[0])
        raise UsageError(f"vectors must be finite; row {row} holds NaN, infinity or huge numbers")
    return np.ascontiguousarray(given)


def read_k(k: int) -> int:
    """How many results.

    Raises:
        UsageError: not a whole number above 0.
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise UsageError(f"k must be a whole number of at least 1, got {k!r}")
    return int(k)


def read_exclude(
    exclude: Sequence[Collection[str]] | None, *, rows: int
) -> Sequence[Collection[str]]:
    """A collection of ids for each query.

    Raises:
        UsageError: not one for each, or strings in place of collections.
    """
    if exclude is None:
        return [()] * rows
    if not is_list(exclude) or not all(one is None or is_list(one) for one in exclude):
        raise UsageError(f"exclude takes a list of ids for each query, got {exclude!r}")
    lists = [() if one is None else one for one in exclude]
    if len(lists) != rows:
        raise UsageError(f"exclude has {len(lists)} lists for {rows} queries; give one each")
    return [[read_text(one, "an excluded id") for one in ids] for ids in lists]


def is_list(given: object) -> bool:
    """Whether it holds several of something: a list, a set, an array, but no text."""
    return isinstance(given, Collection) and not isinstance(given, (str, bytes, Mapping))


def read_text(given: object, what: str) -> str:
    """A text that every backend can hold.

    Raises:
        UsageError: another type, or half of a surrogate pair, which UTF-8 has no bytes for.
    """
    if not isinstance(given, str):
        raise UsageError(f"{what} must be a string, got {given!r}")
    if not given.isascii():
        try:
            given.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"{what} must be a text that UTF-8 holds, got {given!r}") from error
    return given


def read_ids(item_ids: Sequence[str]) -> list[str]:
    """Ids that name items, each once.

    Raises:
        UsageError: an id is no string, empty, or there twice.
    """
    if not is_list(item_ids):
        raise UsageError(f"item_ids must be a list of ids, got {item_ids!r}")
    ids = list(item_ids)
    if wrong := [one for one in ids if not isinstance(one, str) or not one]:
        raise UsageError(f"an id must be a string that is not empty, got {wrong[0]!r}")
    for one in ids:
        read_text(one, "an id")
    if len(set(ids)) < len(ids):
        seen: set[str] = set()
        twice = dict.fromkeys(one for one in ids if one in seen or seen.add(one))  # type: ignore[func-returns-value]
        raise UsageError(f"{named(twice)} given more than once; give each id once")
    return ids


def read_items(
    item_ids: Sequence[str], vectors: NDArray[np.float32], categories: Sequence[str] | None
) -> Items:
    """Checked columns of one length.

    Raises:
        UsageError: the lengths differ, or an id cannot be used.
    """
    ids = read_ids(item_ids)
    if not is_list(() if categories is None else categories):
        raise UsageError(f"categories must be a list of strings, got {categories!r}")
    kinds = [""] * len(ids) if categories is None else list(categories)
    if len(ids) != len(vectors) or len(kinds) != len(ids):
        raise UsageError(
            f"got {len(ids)} ids, {len(vectors)} vectors and {len(kinds)} categories; "
            "give one of each for each item"
        )
    for one in kinds:
        read_text(one, "a category")
    return Items.of(ids, kinds, vectors)


def refuse_here(item_ids: Collection[str]) -> None:
    """Refuses to add items again.

    Raises:
        UsageError: there are such items.
    """
    if item_ids:
        raise UsageError(
            f"{named(item_ids)} already in the index, nothing was added; "
            "give replace=True to replace what is there"
        )


def refuse_unknown(item_ids: Collection[str]) -> None:
    """Refuses to remove what is not there.

    Raises:
        UsageError: there are such items.
    """
    if item_ids:
        raise UsageError(f"{named(item_ids)} not in the index, nothing was removed")
