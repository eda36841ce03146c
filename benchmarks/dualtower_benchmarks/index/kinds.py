"""The module of an engine, imported in the process that builds or searches, and nowhere else."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from dualtower_benchmarks.index.engines import ENGINES
from dualtower_benchmarks.index.searcher import Kind

__all__ = ["kind_of"]

_MODULES = {
    "recommender": "recommender",
    "item_index": "item_index",
    "usearch": "usearch_hnsw",
    "faiss": "faiss_indexes",
}


def kind_of(engine: str) -> Kind:
    """The module that builds and opens `engine`."""
    family = ENGINES[engine].family
    if family == "recommender":
        from dualtower_trainer.quiet_tensorflow import import_tensorflow

        import_tensorflow()
    return cast(Kind, import_module(f"dualtower_benchmarks.index.{_MODULES[family]}"))
