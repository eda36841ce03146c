"""The figures of a shadow run and the gates that judge them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dualtower_serving.rollout.shadow.drift import neighbour_overlap, rank_agreement
from dualtower_serving.rollout.shadow.replay import Replay, Side

__all__ = ["Figure", "Limits", "Report", "judge"]

OVERLAP_AT = 10
_LEAST = 4  # texts, or people, that say something about a space


@dataclass(frozen=True)
class Limits:
    """What a new pair must keep to; None lets everything through.

    The defaults stop a pair that is broken (a random space has rank agreement and overlap near 0),
    not one that recommends otherwise: how different it may be is for you to say.

    Attributes:
        error_rate: most errors per call of the new version.
        p50_ratio, p95_ratio: most of the new latency over the old.
        overlap: least mean share of the first ten items that both lists have.
        item_agreement, user_agreement: least `drift.rank_agreement`.
        item_neighbours: least `drift.neighbour_overlap`.
    """

    error_rate: float | None = 0.0
    p50_ratio: float | None = 1.5
    p95_ratio: float | None = 2.0
    overlap: float | None = 0.1
    item_agreement: float | None = 0.2
    user_agreement: float | None = 0.2
    item_neighbours: float | None = None


@dataclass(frozen=True)
class Figure:
    """One number of the run, and the limit that it was held against."""

    name: str
    value: float | None
    limit: float | None
    at_most: bool

    @property
    def failed(self) -> bool:
        """Whether a limit was set and is not kept; a number that could not be had keeps none."""
        if self.limit is None:
            return False
        if self.value is None:
            return True
        return self.value > self.limit if self.at_most else self.value < self.limit

    @property
    def rule(self) -> str:
        """The limit in words; "" without one."""
        if self.limit is None:
            return ""
        return f"{'at most' if self.at_most else 'at least'} {self.limit:g}"


@dataclass(frozen=True)
class Report:
    """All figures of a run.

    Attributes:
        old, new: the versions, with latencies in ms and errors by kind.
        figures: what was judged.
        requests: how many were asked.
    """

    old: Mapping[str, Any]
    new: Mapping[str, Any]
    figures: tuple[Figure, ...]
    requests: int

    @property
    def failures(self) -> list[Figure]:
        return [one for one in self.figures if one.failed]

    def as_json(self) -> dict[str, Any]:
        """For the journal and for machines."""
        return {
            "requests": self.requests,
            "old": dict(self.old),
            "new": dict(self.new),
            "figures": [
                {**vars(one), "failed": one.failed, "at_most": one.at_most} for one in self.figures
            ],
            "passed": not self.failures,
        }


def judge(run: Replay, limits: Limits) -> Report:
    """Figures of a run, each beside its limit."""
    old, new = run.old, run.new
    p50 = [_quantile(side, 0.50) for side in (old, new)]
    p95 = [_quantile(side, 0.95) for side in (old, new)]
    both = sorted(old.lists.keys() & new.lists.keys())
    shares = [_overlap(old.lists[one], new.lists[one]) for one in both]
    texts = [one for one in old.items if one in new.items]
    users = sorted(old.users.keys() & new.users.keys())
    old_items, new_items = _stack(old.items, texts), _stack(new.items, texts)
    # what was hardly asked is not judged
    no_items, no_users = run.texts < _LEAST, run.requests < _LEAST
    figures = (
        Figure("error rate", new.error_rate, limits.error_rate, True),
        Figure("latency p50, new / old", _ratio(p50), limits.p50_ratio, True),
        Figure("latency p95, new / old", _ratio(p95), limits.p95_ratio, True),
        Figure(f"overlap@{OVERLAP_AT}", _mean(shares), limits.overlap, False),
        Figure(
            "items, rank agreement",
            _number(rank_agreement(old_items, new_items)),
            None if no_items else limits.item_agreement,
            False,
        ),
        Figure(
            "items, shared neighbours",
            _number(neighbour_overlap(old_items, new_items)),
            None if no_items else limits.item_neighbours,
            False,
        ),
        Figure(
            "users, rank agreement",
            _number(rank_agreement(_stack(old.users, users), _stack(new.users, users))),
            None if no_users else limits.user_agreement,
            False,
        ),
    )
    return Report(_facts(old), _facts(new), figures, run.requests)


def _facts(side: Side) -> dict[str, Any]:
    return {
        "version": side.version,
        "answers": len(side.lists),
        "errors": dict(sorted(side.errors.items())),
        "p50_ms": _quantile(side, 0.50),
        "p95_ms": _quantile(side, 0.95),
        "p99_ms": _quantile(side, 0.99),
    }


def _quantile(side: Side, share: float) -> float | None:
    return round(float(np.quantile(side.elapsed_ms, share)), 3) if side.elapsed_ms else None


def _ratio(old_and_new: list[float | None]) -> float | None:
    old, new = old_and_new
    return round(new / old, 3) if old and new is not None else None


def _overlap(old: tuple[str, ...], new: tuple[str, ...]) -> float:
    """Share of the longer list that both have; two empty lists agree."""
    longest = max(len(old), len(new))
    return len(set(old) & set(new)) / longest if longest else 1.0


def _mean(values: list[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)


def _stack(vectors: Mapping[Any, Any], keys: list[Any]) -> Any:
    return np.array([vectors[key] for key in keys]) if keys else np.zeros((0, 1))
