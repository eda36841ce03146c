"""Bundles that hold a catalogue and nothing else, and the backends that every promise is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualtower.bundle import write_manifest
from dualtower_clients.index import (
    FaissBackend,
    ItemIndex,
    MilvusBackend,
    NumpyBackend,
    UsearchBackend,
)
from dualtower_clients.index.settings import Backend

BACKENDS = {
    "numpy": NumpyBackend(),
    "usearch": UsearchBackend(),
    "usearch-exact": UsearchBackend(exact=True),
    "faiss": FaissBackend(),
    "faiss-flat": FaissBackend("Flat"),
    "faiss-lists": FaissBackend("IVF16,Flat"),
    "milvus": None,  # needs a place
}


@dataclass(frozen=True)
class Catalogue:
    """A bundle, and what it holds."""

    path: Path
    item_ids: Sequence[str]
    categories: Sequence[str]
    blocked: np.ndarray
    vectors: np.ndarray

    @property
    def rows(self) -> dict[str, int]:
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    def best(self, query: np.ndarray, allowed: np.ndarray | None = None) -> list[str]:
        """All ids that may be found, best first, by scores of more digits than the index has."""
        scores = (self.vectors.astype(np.longdouble) @ query.astype(np.longdouble)).astype("f4")
        order = np.lexsort((np.arange(len(scores)), -scores))
        allowed = ~self.blocked if allowed is None else allowed & ~self.blocked
        return [self.item_ids[row] for row in order if allowed[row]]


def _clustered(count: int, dim: int, seed: int) -> np.ndarray:
    """Unit vectors around a few dozen centres, as items of a catalogue lie."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(40, dim))
    vectors = centres[random.integers(0, 40, count)] + 0.5 * random.normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _write_catalogue(path: Path, vectors: np.ndarray, *, salt: str = "a") -> Catalogue:
    """A bundle as `dualtower export` lays it out, as far as an index reads it."""
    count, dim = vectors.shape
    item_ids = [f"i{row}" for row in range(count)]
    categories = [("dairy", "bread", "")[row % 3] for row in range(count)]
    blocked = np.arange(count) % 10 == 9
    columns = {
        "item_id": pa.array(item_ids, pa.string()),
        "text": pa.array([f"item number {row}" for row in range(count)], pa.string()),
        "category": pa.array(categories, pa.string()),
        "blocked": pa.array(blocked),
        "warm": pa.array(np.ones(count, bool)),
        "vector": pa.array(list(vectors), pa.list_(pa.float32())),
    }
    (path / "index").mkdir(parents=True)
    pq.write_table(pa.table(columns), path / "index" / "catalogue.parquet", compression="zstd")
    write_manifest(path, {"version": 1, "space": {"dim": dim, "salt": salt}})
    return Catalogue(path, item_ids, categories, blocked, vectors)


@pytest.fixture(scope="session")
def clustered() -> Callable[[int, int, int], np.ndarray]:
    """Makes unit vectors [count, dim] of a seed, around a few dozen centres."""
    return _clustered


@pytest.fixture(scope="session")
def write_catalogue() -> Callable[..., Catalogue]:
    """Writes a bundle of vectors [items, dim] into a new folder."""
    return _write_catalogue


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory) -> Catalogue:
    """600 items of 16 numbers; every tenth is blocked."""
    return _write_catalogue(tmp_path_factory.mktemp("catalogue") / "a", _clustered(600, 16, 1))


@pytest.fixture(scope="session")
def other_catalogue(tmp_path_factory) -> Catalogue:
    """A bundle of another space."""
    folder = tmp_path_factory.mktemp("catalogue") / "b"
    return _write_catalogue(folder, _clustered(100, 16, 2), salt="b")


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request, tmp_path_factory) -> Callable[[], Backend]:
    """Makes settings of one backend; each time of another place."""
    if settings := BACKENDS[request.param]:
        return lambda: settings
    return lambda: MilvusBackend(f"{tmp_path_factory.mktemp('milvus')}/items.db")


@pytest.fixture(scope="session")
def index(backend, catalogue) -> Iterator[ItemIndex]:
    """The catalogue, for tests that do not change it."""
    with ItemIndex.open(catalogue.path, backend()) as opened:
        yield opened


@pytest.fixture
def changing(backend, catalogue) -> Iterator[ItemIndex]:
    """The catalogue, for one test."""
    with ItemIndex.open(catalogue.path, backend()) as opened:
        yield opened
