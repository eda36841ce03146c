"""What searches, and how: a frozen value for each backend. No I/O.

NumpyBackend      exact, nothing to install; reads every vector for every query
UsearchBackend    a graph (HNSW) in memory
FaissBackend      whatever faiss builds from a factory string: a graph, inverted lists, all rows
MilvusBackend     Milvus: its Lite form in a file of this process, or a cluster by address
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from dualtower.errors import UsageError

__all__ = [
    "Backend",
    "FaissBackend",
    "MilvusBackend",
    "NumpyBackend",
    "UsearchBackend",
    "backend_of",
]


@dataclass(frozen=True)
class NumpyBackend:
    """Exact: ids and scores are those of brute force."""


@dataclass(frozen=True)
class UsearchBackend:
    """A graph of near neighbours, HNSW. Larger numbers find more and take longer.

    Attributes:
        connectivity: neighbours of a node.
        expansion_add: candidates that are looked at for a new node.
        expansion_search: candidates that a search looks at.
        exact: compare with all vectors, in usearch's own loops, instead of following the graph.
    """

    connectivity: int = 16
    expansion_add: int = 128
    expansion_search: int = 128
    exact: bool = False

    def __post_init__(self) -> None:
        for name in ("connectivity", "expansion_add", "expansion_search"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise UsageError(f"{name} must be a whole number, got {value!r}")
            if value < 1:
                raise UsageError(f"{name} must be at least 1, got {value}")


@dataclass(frozen=True)
class FaissBackend:
    """An index that faiss makes from a description in its own words.

    Attributes:
        factory: "HNSW32", "IVF1024,Flat", "Flat" (all rows) and the like.
        search: what `faiss.ParameterSpace` sets for searches, such as "efSearch=256"; "" takes
            efSearch=128 for graphs; of inverted lists the eighth part, and no fewer than 16.
    """

    factory: str = "HNSW32"
    search: str = ""


@dataclass(frozen=True)
class MilvusBackend:
    """A collection in Milvus, named by the fingerprint, so that two bundles never mix.

    A collection that is not there is filled from what is opened. One that is there is used as it
    is, with all that was added to it and removed from it, by whomever.

    Attributes:
        uri: "PATH.db" keeps Milvus Lite in a folder of that name, for one process at a time;
            "http://HOST:19530" is a server or a cluster.
        token: "USER:PASSWORD" or an API key, where the server wants one.
        database: of the server's databases.
        prefix: what the collection's name begins with.
        refill: write the collection anew from what is opened, and drop the one that is there.
        timeout_s: the deadline of each call.
    """

    uri: str
    token: str = field(default="", repr=False)
    database: str = "default"
    prefix: str = "dualtower"
    refill: bool = False
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if not self.uri.endswith(".db") and "://" not in self.uri:
            raise UsageError(
                f"uri must be a file that ends in .db, or an address such as "
                f"http://localhost:19530, got {self.uri!r}"
            )
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", self.prefix):
            raise UsageError(
                f"prefix must be letters, digits and underscores and begin with none of the "
                f"digits, got {self.prefix!r}"
            )


Backend = NumpyBackend | UsearchBackend | FaissBackend | MilvusBackend

_BY_NAME: dict[str, Callable[[], Backend]] = {
    "numpy": NumpyBackend,
    "usearch": UsearchBackend,
    "faiss": FaissBackend,
}


def backend_of(backend: str | Backend) -> Backend:
    """The settings themselves, or the default ones of a backend by its name.

    Raises:
        UsageError: there is no such backend, or it has no default.
    """
    if isinstance(backend, Backend):
        return backend
    if not isinstance(backend, str):
        raise UsageError(
            f"backend must be a name or settings such as UsearchBackend(), got {backend!r}"
        )
    if backend == "milvus":
        raise UsageError(
            "the backend 'milvus' needs to know where: give "
            "MilvusBackend(uri='items.db') or MilvusBackend(uri='http://HOST:19530')"
        )
    if backend not in _BY_NAME:
        raise UsageError(
            f"backend must be one of {', '.join([*_BY_NAME, 'milvus'])}, got {backend!r}"
        )
    return _BY_NAME[backend]()
