"""Items in this process's memory: ranked exactly, or found through a graph and then ranked.

    query ─► graph ─► candidates ─► exact scores ─► results
        └──────────► all rows ──────────┘   without a graph, and where it finds too few

A change makes another state and puts it in the place of the old one. Searches that run keep theirs.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualtower_clients.index.checks import refuse_here, refuse_unknown
from dualtower_clients.index.exact import Best, best_rows, ranked
from dualtower_clients.index.filters import Keep, kept_rows
from dualtower_clients.index.graph import EngineKind, Graph
from dualtower_clients.index.index_file import BuiltEngine, Saved
from dualtower_clients.index.items import Items
from dualtower_clients.index.results import SearchResult

__all__ = ["TableStore"]

_MORE = 2  # times the candidates that would do if those that do not count were spread evenly
_LEAST_SHARE = 0.5  # of an engine's vectors that are items; below that it is built anew
_MOST_ASKED = 0.25  # of its vectors that are asked for; beyond that all rows are read instead


@dataclass(frozen=True)
class _State:
    items: Items
    graph: Graph | None


class TableStore:
    """See `dualtower_clients.index.store.Store`.

    Args:
        saved: the items, with their engine if there is one.
        kind: of engine; None ranks all rows for every query.
    """

    def __init__(self, saved: Saved, kind: EngineKind | None) -> None:
        self._kind = kind
        self._state = _State(saved.items, kind.graph(saved) if kind else None)
        self._changing = threading.Lock()

    def __len__(self) -> int:
        return len(self._state.items)

    def known(self, item_ids: Sequence[str]) -> list[str]:
        row_of = self._state.items.row_of
        return [item_id for item_id in item_ids if item_id in row_of]

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        exclude: Sequence[Collection[str]],
        keep: Keep | None,
    ) -> list[SearchResult]:
        state = self._state
        items = state.items
        rows = None if keep is None else kept_rows(items, keep)
        barred = [items.rows(ids) for ids in exclude]
        best = _through_graph(state, queries, k, barred, rows)
        missing = [place for place, one in enumerate(best) if one is None]
        exact = iter(
            best_rows(
                items.vectors,
                queries[missing],
                k,
                [barred[place] for place in missing],
                longest=items.longest,
                rows=rows,
            )
        )
        found = [next(exact) if one is None else one for one in best]
        return [SearchResult(tuple(items.item_ids[rows]), scores) for rows, scores in found]

    def put(self, items: Items, *, replace: bool) -> None:
        with self._changing:
            old, graph = self._state.items, self._state.graph
            if not replace:
                refuse_here(self.known(list(items.item_ids)))
            is_here = np.array([item_id in old.row_of for item_id in items.item_ids], bool)
            here, new = items.taken(is_here), items.taken(~is_here)
            rows = np.array([old.row_of[item_id] for item_id in here.item_ids], np.int64)
            changed = old.replaced(rows, here) if len(here) else old
            changed = changed.added(new) if len(new) else changed
            if graph:
                places = np.concatenate([rows, np.arange(len(old), len(changed))])
                vectors = np.concatenate([here.vectors, new.vectors])
                graph = self._dense(changed, graph.put(places, vectors))
            self._state = _State(changed, graph)

    def remove(self, item_ids: Sequence[str]) -> None:
        with self._changing:
            old, graph = self._state.items, self._state.graph
            refuse_unknown([item_id for item_id in item_ids if item_id not in old.row_of])
            rows = np.delete(np.arange(len(old)), old.rows(item_ids))
            left = old.taken(rows)
            self._state = _State(left, graph and self._dense(left, graph.taken(rows)))

    def saved(self) -> Saved:
        state, kind = self._state, self._kind
        if state.graph is None or kind is None:
            return Saved(state.items)
        with state.graph.lock.shared():
            content = state.graph.engine.to_bytes()
        return Saved(state.items, BuiltEngine(kind.recipe, state.graph.keys, content))

    def close(self) -> None:
        """Nothing is held but memory."""

    def _dense(self, items: Items, graph: Graph) -> Graph:
        """The graph, or a new one where most of its vectors are nobody's."""
        if self._kind is None or not len(items) or graph.share >= _LEAST_SHARE:
            return graph
        return self._kind.graph(Saved(items))


def _through_graph(
    state: _State,
    queries: NDArray[np.float32],
    k: int,
    barred: Sequence[NDArray[np.int64]],
    rows: NDArray[np.int64] | None,
) -> list[Best | None]:
    """The k best of what the graph finds; None for a query where that is fewer than there are."""
    items, graph = state.items, state.graph
    allowed = len(items) if rows is None else len(rows)
    nothing: list[Best | None] = [None] * len(queries)
    if graph is None or not allowed:
        return nothing
    known = len(graph.row_of_key)
    wanted = k + max(map(len, barred))
    if known > allowed:
        wanted = _MORE * math.ceil(wanted * known / allowed)
    if wanted > known * _MOST_ASKED:
        return nothing
    is_kept = np.full(len(items), rows is None)
    if rows is not None:
        is_kept[rows] = True
    best: list[Best | None] = []
    for query, found, bars in zip(queries, graph.rows(queries, wanted), barred, strict=True):
        near = found[found >= 0]
        near = near[is_kept[near] & ~np.isin(near, bars)]
        left = allowed - int(np.count_nonzero(is_kept[bars]))
        enough = len(near) >= min(k, left)
        best.append(ranked(items.vectors, query, near, k) if enough else None)
    return best
