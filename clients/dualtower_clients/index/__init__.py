"""Search beside the server: the vectors of a bundle, in this process or in Milvus.

    bundle ──┐                ┌─ numpy    exact
             ├─► ItemIndex ───┼─ usearch  a graph          found fast, scored exactly
    saved  ──┘   checks,      ├─ faiss    its factory's indexes
                 fingerprint  └─ milvus   a file or a cluster

`ItemIndex` is the door; the settings of its backends say how they search.
"""

from dualtower_clients.index.item_index import ItemIndex
from dualtower_clients.index.results import SearchResult
from dualtower_clients.index.settings import (
    FaissBackend,
    MilvusBackend,
    NumpyBackend,
    UsearchBackend,
)

__all__ = [
    "FaissBackend",
    "ItemIndex",
    "MilvusBackend",
    "NumpyBackend",
    "SearchResult",
    "UsearchBackend",
]
