"""The recommender's searches: each as a SavedModel in a session, as a server has it.

They leave out what a user has taken, and answer with ids.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from dualtower_benchmarks.index.catalogue import Catalogue, with_rest
from dualtower_export.best_rows import Best
from dualtower_export.config import ExportConfig
from dualtower_export.exact_search import Search
from dualtower_export.ivf_search import IvfSearch
from dualtower_export.quiet import quiet_tensorflow
from dualtower_export.retrieval_graph import Retrieval
from dualtower_export.search_index import search_of
from dualtower_export.serving_session import open_model

__all__ = ["build", "open"]

_SIGNATURE = "search"


def build(catalogue: Catalogue, path: Path, job: dict[str, Any]) -> None:
    """Writes signature `search`, through the classes that an export uses.

    It takes `users` float32 [batch, dim + 2], `excluded` int32 [m, 2] and `probes` int32.
    """
    vectors = with_rest(catalogue.tastes)
    table = tf.Variable(vectors, trainable=False, name="vectors")
    dtype = job["engine"].rpartition("_")[2]
    config = ExportConfig(index="ivf", ivf_lists=job["lists"])
    if dtype != "ivf":
        config = ExportConfig(index_dtype=dtype)
    search = search_of(vectors, table, np.zeros(len(vectors), bool), job["k"], config)
    module = tf.Module()
    module.table, module.search = table, search
    signature = _signature(tf.constant(_ids(len(vectors))), search, vectors.shape[1])
    del vectors
    with quiet_tensorflow():
        tf.saved_model.save(module, str(path), signatures={_SIGNATURE: signature})


class _Recommender:
    """See `searcher.Searcher`."""

    version = f"tensorflow {tf.__version__}"

    def __init__(self, path: Path) -> None:
        self._opened = open_model(path)
        self._model = self._opened.__enter__()

    def asked(self, users: NDArray[np.float32], seen: NDArray[np.int32]) -> dict[str, Any]:
        batch = np.repeat(np.arange(len(seen), dtype=np.int32), seen.shape[1])
        excluded = np.stack([batch, seen.reshape(-1)], axis=1).astype(np.int32)
        return {"users": np.pad(users, [(0, 0), (0, 2)]), "excluded": excluded}

    def search(self, asked: dict[str, Any], effort: int) -> Any:
        return self._model(_SIGNATURE, **asked, probes=np.array(effort, np.int32))

    def rows(self, answer: Any) -> list[list[int]]:
        return [[int(item) for item in row if item] for row in answer["item_ids"]]


def open(path: Path, job: dict[str, Any]) -> _Recommender:
    """Loads the SavedModel."""
    del job
    return _Recommender(path)


def _ids(count: int) -> NDArray[np.object_]:
    return np.array([str(row) for row in range(count)], object)


class _Probing:
    """A search whose inverted file reads as many lists as it is asked to."""

    def __init__(self, search: Search, probes: tf.Tensor) -> None:
        self._search, self._probes = search, probes

    def __call__(self, users: tf.Tensor, excluded: tf.Tensor) -> Best:
        if isinstance(self._search, IvfSearch):
            return self._search.by_probes(users, excluded, self._probes)
        return self._search(users, excluded)


def _signature(names: tf.Tensor, search: Search, dim: int) -> tf.types.experimental.GenericFunction:
    def asked(users: tf.Tensor, excluded: tf.Tensor, probes: tf.Tensor) -> dict[str, tf.Tensor]:
        item_ids, scores = Retrieval(names, _Probing(search, probes))(users, excluded)
        return {"item_ids": item_ids, "scores": scores}

    return tf.function(
        asked,
        input_signature=[
            tf.TensorSpec([None, dim], tf.float32, "users"),
            tf.TensorSpec([None, 2], tf.int32, "excluded"),
            tf.TensorSpec([], tf.int32, "probes"),
        ],
    )
