"""Users whose activity is not a person's taste: outliers and machines, out of the training log.

    z-score    log(count) lies more than `z_threshold` standard deviations above the users' mean
    clock      the pauses between its moments are all alike: their coefficient of variation
               (standard deviation / mean) is below `clock_variation`
    burst      more than `burst_per_minute` interactions within some 60 seconds

Few interactions are no fault, so the z-score has an upper side only. Interactions of one second (a
basket) are one moment to the clock. Whom nothing is known of over `clock_events` moments is no
clock. Coefficients of variation: a clock has 0, a Poisson process 1, people with sessions far more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower_trainer.data.dataset import Interactions

__all__ = ["FilterConfig", "FilterReport", "filter_users", "suspicious_users"]

BURST_S = 60
_EXAMPLES = 5
_KEY_S = 1 << 33  # beyond every timestamp: user · this + time is one sortable number

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class FilterConfig:
    """Who is left out of training: the `[filter]` section; 0 turns a filter off, as by default.

    Attributes:
        z_threshold: standard deviations of log(interactions) above the mean.
        clock_variation: coefficient of variation of the pauses, such as 0.1.
        clock_events: distinct moments that a user needs to be judged by them.
        burst_per_minute: interactions in 60 seconds that are still a person's; mind that the items
            of one basket often carry one time.
    """

    z_threshold: float = 0.0
    clock_variation: float = 0.0
    clock_events: int = 20
    burst_per_minute: int = 0

    def __post_init__(self) -> None:
        for name in ("z_threshold", "clock_variation", "burst_per_minute"):
            if not 0 <= getattr(self, name) < 1e9:
                raise ValueError(f"{name} must be 0 (off) or above, got {getattr(self, name)}")
        if self.clock_events < 3:
            raise ValueError(f"clock_events must be at least 3, got {self.clock_events}")

    @property
    def is_on(self) -> bool:
        """Whether any filter is."""
        return bool(self.z_threshold or self.clock_variation or self.burst_per_minute)


@dataclass(frozen=True)
class Removed:
    """Users and interactions that one reason removed, and a few of the ids, most active first."""

    users: int
    interactions: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class FilterReport:
    """Who was removed and why; a user counts under the first reason that holds."""

    users: int
    interactions: int
    removed: dict[str, Removed]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values, for data_report.json."""
        return {
            "users": self.users,
            "interactions": self.interactions,
            "removed": {
                reason: {
                    "users": part.users,
                    "interactions": part.interactions,
                    "examples": list(part.examples),
                }
                for reason, part in self.removed.items()
            },
            "notes": list(self.notes),
        }


def filter_users(
    interactions: Interactions, config: FilterConfig
) -> tuple[Interactions, FilterReport]:
    """The interactions of the others, in their order, and who was removed.

    Args:
        interactions: a training log, one row per interaction: repeats that are merged have lost
            what the clock and the burst go by.
        config: the filters.

    Example:
        kept, report = filter_users(log, FilterConfig(z_threshold=4, clock_variation=0.1))
        report.removed["clock"].examples
    """
    suspicious, report = suspicious_users(interactions, config)
    return interactions.where(~suspicious[interactions.users]), report


def suspicious_users(
    interactions: Interactions, config: FilterConfig
) -> tuple[Flags, FilterReport]:
    """Which users `filter_users` removes, bool [users], and why."""
    n_users = len(interactions.user_ids)
    counts = np.bincount(interactions.users, minlength=n_users)
    reasons: dict[str, Flags] = {}
    notes: list[str] = []
    if config.z_threshold:
        reasons["z-score"] = _z_scores(counts) > config.z_threshold
    times_s = interactions.timestamps
    if config.clock_variation or config.burst_per_minute:
        if len(times_s) and times_s.min() < times_s.max():
            moments = np.sort(interactions.users.astype(np.int64) * _KEY_S + times_s)
            if config.clock_variation:
                variation = _pause_variation(moments, n_users, config.clock_events)
                reasons["clock"] = variation < config.clock_variation
            if config.burst_per_minute:
                reasons["burst"] = _largest_burst(moments, n_users) > config.burst_per_minute
        else:
            notes.append("the log has no times, so neither clocks nor bursts can be seen")
    suspicious, removed = np.zeros(n_users, bool), {}
    for reason, flags in reasons.items():
        chosen = np.flatnonzero(flags & ~suspicious)
        chosen = chosen[np.argsort(-counts[chosen], kind="stable")]
        examples = tuple(str(user_id) for user_id in interactions.user_ids[chosen[:_EXAMPLES]])
        removed[reason] = Removed(len(chosen), int(counts[chosen].sum()), examples)
        suspicious |= flags
    report = FilterReport(int((counts > 0).sum()), len(interactions), removed, tuple(notes))
    return suspicious, report


def _z_scores(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Standard scores of log(count) among users with any, [users]; 0 for those without."""
    scores = np.zeros(len(counts))
    active = counts > 0
    logs = np.log(counts[active])
    if len(logs) and (deviation := logs.std()) > 0:
        scores[active] = (logs - logs.mean()) / deviation
    return scores


def _pause_variation(
    moments: npt.NDArray[np.int64], n_users: int, least: int
) -> npt.NDArray[np.float64]:
    """Coefficient of variation of the pauses, [users]; infinite below `least` moments."""
    moments = np.unique(moments)
    users = moments // _KEY_S
    within = users[1:] == users[:-1]
    owners, pauses_s = users[1:][within], np.diff(moments)[within].astype(np.float64)
    counts = np.bincount(owners, minlength=n_users)
    enough = np.maximum(counts, 1)
    means = np.bincount(owners, pauses_s, n_users) / enough
    spread = np.bincount(owners, (pauses_s - means[owners]) ** 2, n_users) / enough
    variation = np.full(n_users, np.inf)
    judged = counts + 1 >= least
    variation[judged] = np.sqrt(spread[judged]) / means[judged]
    return variation


def _largest_burst(moments: npt.NDArray[np.int64], n_users: int) -> npt.NDArray[np.int64]:
    """The most interactions in 60 seconds, [users]."""
    ends = np.searchsorted(moments, moments + BURST_S, side="left")
    largest = np.zeros(n_users, np.int64)
    np.maximum.at(largest, moments // _KEY_S, ends - np.arange(len(moments)))
    return largest
