"""The search that the settings of an export ask for, over the vectors of a trained run."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from dualtower.errors import DataError
from dualtower_export.config import ExportConfig
from dualtower_export.exact_search import CodedSearch, ExactSearch, Search
from dualtower_export.index_codes import encode
from dualtower_export.ivf_lists import IvfLists, build_lists, check_lists
from dualtower_export.ivf_search import IvfSearch

__all__ = ["NOT_TASTE", "check_index", "check_vectors", "lists_of", "search_of"]

NOT_TASTE = 2  # weight and rest, the last numbers of an embedding; in a user they are 0
_UNIT_ERROR = 1e-3


def search_of(
    vectors: np.ndarray, table: tf.Variable, blocked: np.ndarray, k: int, config: ExportConfig
) -> Search:
    """Builds the index of a catalogue.

    Args:
        vectors: float32 [n, dim], taste, weight and rest.
        table: the same as a variable, shared with the history lookup.
        blocked: bool [n], items that are never recommended.
        k: length of the lists.
        config: section [export].

    Raises:
        UsageError: more lists than items that may be recommended.
    """
    codes = None
    if config.index_dtype != "float32":
        codes = encode(vectors[:, :-NOT_TASTE], config.index_dtype)
    if config.index == "ivf" and not blocked.all():
        lists = lists_of(vectors, blocked, config)
        return IvfSearch(lists, table, codes, k, config.ivf_probes, config.index_oversample)
    if codes is not None:
        return CodedSearch(codes, table, blocked, k, config.index_oversample)
    return ExactSearch(table, blocked, k)


def lists_of(vectors: np.ndarray, blocked: np.ndarray, config: ExportConfig) -> IvfLists:
    """The lists of an inverted file; the same ones for the same arguments.

    Raises:
        UsageError: more lists than items that may be recommended.
    """
    tastes = vectors[:, :-NOT_TASTE]
    return build_lists(tastes, np.flatnonzero(~blocked), config.ivf_lists, seed=config.seed)


def check_index(
    vectors: np.ndarray, item_ids: np.ndarray, blocked: np.ndarray, config: ExportConfig
) -> None:
    """Refuses early what could not be searched.

    Raises:
        DataError: the vectors cannot be ranked.
        UsageError: more lists than items that may be recommended.
    """
    check_vectors(vectors, item_ids)
    if config.index == "ivf":
        check_lists(config.ivf_lists, int((~blocked).sum()))


def check_vectors(vectors: np.ndarray, item_ids: np.ndarray) -> None:
    """Refuses a table that cannot be ranked.

    Raises:
        DataError: there is no item, a number is not finite, or a vector is longer than 1.
    """
    if len(vectors) == 0:
        raise DataError("the catalogue is empty; train on a data folder that has items")
    lengths = np.linalg.norm(vectors, axis=1)
    broken = np.flatnonzero(~np.isfinite(lengths))
    if len(broken):
        raise DataError(
            f"{len(broken)} of {len(vectors)} items have vectors that are not finite, the first "
            f"is {str(item_ids[broken[0]])!r}; train again with a lower learning rate"
        )
    longest = int(lengths.argmax())
    if lengths[longest] > 1 + _UNIT_ERROR:
        raise DataError(
            f"the vector of {str(item_ids[longest])!r} has length {lengths[longest]:.3f}, and "
            "embeddings have length 1; train again"
        )
