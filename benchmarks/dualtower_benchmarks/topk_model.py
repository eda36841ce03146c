"""The recommender's searches over a made-up catalogue as one SavedModel, a signature each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from dualtower_benchmarks.topk_catalogue import Catalogue
from dualtower_export.best_rows import Best
from dualtower_export.catalogue_graph import CatalogueGraph
from dualtower_export.catalogue_index import CatalogueIndex
from dualtower_export.config import ExportConfig
from dualtower_export.exact_search import Search
from dualtower_export.ivf_search import IvfSearch
from dualtower_export.quiet import quiet_tensorflow
from dualtower_export.retrieval_graph import Retrieval
from dualtower_export.search_index import check_index, search_of

__all__ = ["ivf_signature", "write_searches"]


def ivf_signature(probes: int) -> str:
    """The name under which the inverted file is asked with a number of probes."""
    return f"ivf_{probes}"


def write_searches(
    catalogue: Catalogue, folder: Path, *, k: int, lists: int, probes: Sequence[int]
) -> None:
    """Writes signatures `exact_float32`, `exact_float16`, `exact_int8` and `ivf_PROBES`.

    Each takes `users` float32 [batch, dim + 2] and `excluded` int32 [m, 2] and answers `item_ids`
    and `scores`, through the classes that an export uses.
    """
    item_ids = [str(row) for row in range(len(catalogue.vectors))]
    blocked = np.zeros(len(item_ids), bool)
    graph = CatalogueGraph(CatalogueIndex.of(item_ids, item_ids), catalogue.vectors)
    names = tf.constant(item_ids)
    searches: dict[str, Search] = {}
    for dtype in ("float32", "float16", "int8"):
        config = ExportConfig(index_dtype=dtype)
        searches[f"exact_{dtype}"] = search_of(catalogue.vectors, graph.vectors, blocked, k, config)
    config = ExportConfig(index="ivf", ivf_lists=lists)
    check_index(catalogue.vectors, np.array(item_ids, object), blocked, config)
    inverted = search_of(catalogue.vectors, graph.vectors, blocked, k, config)
    assert isinstance(inverted, IvfSearch)
    for number in probes:
        searches[ivf_signature(number)] = _Probing(inverted, number)
    module, signatures = tf.Module(), {}
    module.graph = graph
    for name, search in searches.items():
        retrieval = Retrieval(names, search)
        setattr(module, name, retrieval)
        signatures[name] = _signature(retrieval, catalogue.vectors.shape[1])
    with quiet_tensorflow():
        tf.saved_model.save(module, str(folder), signatures=signatures)


class _Probing(tf.Module):
    """An inverted file with its number of probes."""

    def __init__(self, search: IvfSearch, probes: int) -> None:
        super().__init__(name="probing")
        self._search, self._probes = search, probes

    def __call__(self, users: tf.Tensor, excluded: tf.Tensor) -> Best:
        return self._search.by_probes(users, excluded, self._probes)


def _signature(retrieval: Retrieval, dim: int) -> tf.types.experimental.GenericFunction:
    def search(users: tf.Tensor, excluded: tf.Tensor) -> dict[str, tf.Tensor]:
        item_ids, scores = retrieval(users, excluded)
        return {"item_ids": item_ids, "scores": scores}

    return tf.function(
        search,
        input_signature=[
            tf.TensorSpec([None, dim], tf.float32, "users"),
            tf.TensorSpec([None, 2], tf.int32, "excluded"),
        ],
    )
