"""How long the catalogues, builds and processes of searches take, beside their turns.

The rule, of builds on two idle cores: seconds for 10⁵ items of 64 numbers, in proportion to the
numbers of an item and to one over the cores, and to a power of the items by the kind of engine.
"""

from __future__ import annotations

from collections.abc import Sequence

from dualtower_benchmarks.index.case import IndexCase
from dualtower_benchmarks.index.engines import EXACT, GRAPH, LISTS
from dualtower_benchmarks.index.guards import Build, build_reason

__all__ = ["build_s", "preparation_s"]

_ITEMS, _DIM, _CORES = 100_000, 64, 2
_BUILD_S = {
    "recommender_float32": 0.83,
    "recommender_float16": 1.3,
    "recommender_int8": 1.2,
    "recommender_ivf": 2.0,
    "item_index_numpy": 0.06,
    "faiss_flat": 0.02,
    "faiss_ivf_flat": 0.65,
    "faiss_ivf_sq8": 0.65,
    "usearch_hnsw": 4.6,
    "faiss_hnsw": 3.3,
}
# lists are as many as twice the root of the items, and each item is held against all of them; a
# graph grows by a logarithm, and past the cache by more
_POWER = {EXACT: 1.0, LISTS: 1.5, GRAPH: 1.2}
_PROCESS_S = {"tensorflow": 3.0}  # to import what searches; a process builds, another searches
_OTHER_PROCESS_S = 0.5
_CATALOGUE_S = 1.0  # to draw the items of a catalogue, and to search them exactly


def preparation_s(cases: Sequence[IndexCase], *, cores: int) -> float:
    """Seconds of everything but the turns; a build that guards will refuse takes none."""
    catalogues = {case.data: case for case in cases}.values()
    total_s = sum(_CATALOGUE_S * _size(case) for case in catalogues)
    builds = {(case.data, case.build_name): case for case in cases}
    known: dict[object, list[Build]] = {}
    refused = set()
    for key, case in sorted(builds.items(), key=lambda one: one[1].items):
        earlier = known.setdefault(case.recipe, [])
        if build_reason(case.items, earlier, max_build_s=case.max_build_s) is not None:
            refused.add(key)
            continue
        took_s = build_s(case, cores=cores)
        if took_s > case.max_build_s:
            refused.add(key)
        earlier.append(Build(case.items, took_s if took_s <= case.max_build_s else None))
        total_s += _process_s(case) + min(took_s, case.max_build_s)
    searched = {
        (case.data, case.build_name, case.threads): case
        for case in cases
        if (case.data, case.build_name) not in refused
    }
    return total_s + sum(map(_process_s, searched.values()))


def build_s(case: IndexCase, *, cores: int) -> float:
    """Of one index, by the rule above."""
    items = (case.items / _ITEMS) ** _POWER[case.kind]
    return _BUILD_S[case.engine] * items * case.dim / _DIM * _CORES / cores


def _size(case: IndexCase) -> float:
    return case.items / _ITEMS * case.dim / _DIM


def _process_s(case: IndexCase) -> float:
    return _PROCESS_S.get(case.module, _OTHER_PROCESS_S)
