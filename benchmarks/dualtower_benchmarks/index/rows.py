"""A measured case as a row: recall over users, percentiles over calls, what the index takes.

Calls come one after the other from one caller, so they are taken as independent (`stats`); a
percentile of too few calls is null. The recall's interval resamples users.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualtower_benchmarks.index.case import IndexCase
from dualtower_benchmarks.index.engines import ENGINES
from dualtower_benchmarks.stats.percentiles import nearest_rank, percentile

__all__ = ["recall_of", "row_of"]

_RESAMPLES = 2_000


def recall_of(
    found: Sequence[Sequence[int]],
    best: NDArray[np.int64],
    *,
    seed: int,
    confidence: float = 0.95,
) -> dict[str, Any]:
    """The share of the exact lists that was found, with its bootstrap interval over users.

    Args:
        found: of each user the rows; a row that is given twice counts once.
        best: int64 [users, k]; -1 fills the list of a user who has fewer.
    """
    shares = np.array(
        [np.isin(rows[rows >= 0], one).mean() for rows, one in zip(best, found, strict=True)]
    )
    random = np.random.default_rng(seed)
    means = random.choice(shares, (_RESAMPLES, len(shares))).mean(axis=1)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return {
        "value": float(shares.mean()), "low": float(low), "high": float(high),
        "users": len(shares),
    }  # fmt: skip


def row_of(
    case: IndexCase,
    turns: Sequence[Mapping[str, Sequence[int]]],
    recall: Mapping[str, Any],
    facts: Mapping[str, Any],
    *,
    repeat: int,
    confidence: float,
) -> dict[str, Any]:
    """The row.

    Args:
        turns: of each round `wall_ns` and `cpu_ns` of its calls.
        facts: of the build, the process and its engine.
    """
    wall_ns = np.concatenate([np.asarray(turn["wall_ns"], np.int64) for turn in turns])
    cpu_ns = np.concatenate([np.asarray(turn["cpu_ns"], np.int64) for turn in turns])
    rates = [case.batch * len(turn["wall_ns"]) / (sum(turn["wall_ns"]) / 1e9) for turn in turns]
    return {
        "key": case.key,
        "repeat": repeat,
        **case.as_json(),
        "family": ENGINES[case.engine].family,
        "kind": case.kind,
        "lists_found": case.number_of_lists if case.kind == "lists" else None,
        "recall": dict(recall),
        "p50_ms": _ms(wall_ns, 0.5, confidence),
        "p99_ms": _ms(wall_ns, 0.99, confidence),
        "cpu_p50_ms": nearest_rank(cpu_ns, 0.5) / 1e6,
        "n": len(wall_ns),
        "users_per_s": {
            "value": statistics.median_low(rates), "low": min(rates), "high": max(rates)
        },
        **facts,
    }  # fmt: skip


def _ms(samples: NDArray[np.int64], q: float, confidence: float) -> dict[str, float] | None:
    found = percentile(samples, q, confidence=confidence)
    if found is None:
        return None
    return {key: getattr(found, key) / 1e6 for key in ("value", "low", "high")}
