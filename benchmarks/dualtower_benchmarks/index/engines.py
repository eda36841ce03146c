"""What searches, and what it takes: ours, and the libraries that it stands beside.

Memory is counted in copies of the float32 vectors and in bytes an item beside them, at the peak of
a build and of a process that searches: no less than processes took of 10⁶ items of 64 numbers. It
is what guards ask before anything is built (`guards`); rows have what a process really took.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ENGINES", "EXACT", "GRAPH", "LISTS", "Engine"]

EXACT, LISTS, GRAPH = "exact", "lists", "graph"
_TENSORFLOW = 900_000_000
_LIBRARY = 150_000_000


@dataclass(frozen=True)
class Engine:
    """One way of searching.

    Args:
        family: "recommender" and "item_index" are ours.
        words: its name on a page.
        kind: exact; lists, whose effort is how many are read; graph, whose effort is how many
            candidates a search keeps.
        module: that must be there, and `pip`, what installs it.
        build_copies, search_copies: of the vectors, in memory.
        item_bytes: in memory beside them.
        process_bytes: of the process without any item.
        disk_copies: of the vectors, in the file.
    """

    family: str
    words: str
    kind: str
    module: str
    pip: str
    build_copies: float
    search_copies: float
    item_bytes: int
    process_bytes: int
    disk_copies: float

    @property
    def ours(self) -> bool:
        return self.family in ("recommender", "item_index")


def _recommender(words: str, kind: str, build: float, search: float, disk: float) -> Engine:
    return Engine(
        "recommender", words, kind, "tensorflow", "dualtower[export]", build, search, 200,
        _TENSORFLOW, disk,
    )  # fmt: skip


def _faiss(words: str, kind: str, build: float, copies: float, item_bytes: int) -> Engine:
    return Engine(
        "faiss", words, kind, "faiss", "dualtower[faiss]", build, copies, item_bytes,
        _LIBRARY, copies + 0.2,
    )  # fmt: skip


ENGINES = {
    "recommender_float32": _recommender("recommender float32", EXACT, 4.5, 4.2, 1.1),
    "recommender_float16": _recommender("recommender float16", EXACT, 6.2, 5.6, 1.6),
    "recommender_int8": _recommender("recommender int8", EXACT, 6.2, 5.0, 1.4),
    "recommender_ivf": _recommender("recommender IVF", LISTS, 10.0, 4.2, 1.2),
    "item_index_numpy": Engine(
        "item_index", "ItemIndex numpy", EXACT, "numpy", "dualtower", 1.5, 2.2, 350, _LIBRARY, 1.1
    ),
    "usearch_hnsw": Engine(
        "usearch", "usearch HNSW", GRAPH, "usearch", "dualtower[usearch]", 1.3, 1.1, 250,
        _LIBRARY, 2.0,
    ),
    "faiss_flat": _faiss("faiss flat", EXACT, 1.2, 1.0, 0),
    "faiss_ivf_flat": _faiss("faiss IVF flat", LISTS, 2.8, 1.2, 16),
    "faiss_ivf_sq8": _faiss("faiss IVF SQ8", LISTS, 2.0, 0.4, 16),
    "faiss_hnsw": _faiss("faiss HNSW", GRAPH, 1.3, 1.1, 350),
}  # fmt: skip
