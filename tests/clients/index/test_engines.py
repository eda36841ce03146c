"""Approximate backends: how much they find by their defaults, and that their settings count."""

from __future__ import annotations

import numpy as np
import pytest

from dualtower_clients.index import FaissBackend, ItemIndex, MilvusBackend, UsearchBackend

FILTERS = [None, {"category": "bread"}]


@pytest.fixture(scope="module")
def large(tmp_path_factory, write_catalogue, clustered):
    """6,000 items of 32 numbers."""
    return write_catalogue(tmp_path_factory.mktemp("large") / "a", clustered(6000, 32, 4))


@pytest.fixture(scope="module")
def queries(large) -> np.ndarray:
    random = np.random.default_rng(1)
    near = large.vectors[:200] + 0.1 * random.normal(size=(200, 32))
    return (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def best(large, queries) -> dict[int, list[set[str]]]:
    """The ten best ids of each query, for each of the filters."""
    exact = ItemIndex.open(large.path)
    return {
        place: [{*one.item_ids} for one in exact.search(queries, 10, filter=chosen)]
        for place, chosen in enumerate(FILTERS)
    }


def recall(index, queries, best) -> list[float]:
    """Recall@10 for each of the filters."""
    found = [index.search(queries, 10, filter=chosen) for chosen in FILTERS]
    return [
        sum(len({*one.item_ids} & ids) for one, ids in zip(some, best[place], strict=True))
        / sum(map(len, best[place]))
        for place, some in enumerate(found)
    ]


@pytest.mark.parametrize("name", ["usearch", "faiss", "lists", "milvus"])
def test_defaults_find_nearly_all(large, queries, best, name, tmp_path):
    backends = {
        "usearch": UsearchBackend(),
        "faiss": FaissBackend(),
        "lists": FaissBackend("IVF128,Flat"),
        "milvus": MilvusBackend(str(tmp_path / "items.db")),
    }
    with ItemIndex.open(large.path, backends[name]) as index:
        assert min(recall(index, queries, best)) >= 0.95


@pytest.mark.parametrize(
    "backend",
    [
        UsearchBackend(connectivity=2, expansion_add=2, expansion_search=1),
        FaissBackend("IVF128,Flat", search="nprobe=1"),
    ],
    ids=["usearch", "faiss"],
)
def test_weak_settings_find_less(large, queries, best, backend, tmp_path):
    index = ItemIndex.open(large.path, backend)
    assert recall(index, queries, best)[0] < 0.95
    index.save(tmp_path / "items.index")  # what was built is kept, settings of the search are not
    opened = ItemIndex.open(tmp_path / "items.index", backend)
    assert recall(opened, queries, best)[0] < 0.95
    assert ItemIndex.open(tmp_path / "items.index").search(queries[:1])[0].item_ids
