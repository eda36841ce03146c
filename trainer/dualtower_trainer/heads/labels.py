"""What people said and did of what they took, aligned with a split.

A split merges the interactions of one person and item, inside what is visible. Of their labels the
*latest* stands, as the latest time stands for the pair: the last rating that was given, the event
that it came to. Rating and event are looked for apart, so that an unrated purchase hides no earlier
rating. Of one moment, the later row of the data folder counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dualtower.errors import DataError
from dualtower_trainer.data import Dataset, Split
from dualtower_trainer.data.merge import pair_codes, sort_by_pair
from dualtower_trainer.data.segments import TRAIN, VALIDATION, segment_rows
from dualtower_trainer.heads_config import HeadsConfig

__all__ = ["NO_EVENT", "Labels", "SplitLabels", "split_labels"]

NO_EVENT = -1

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Labels:
    """One entry a pair of a person and an item.

    Attributes:
        ratings: float32, NaN where there is none.
        events: int32 places in the names of the events, NO_EVENT where there is none.
    """

    ratings: npt.NDArray[np.float32]
    events: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.ratings)

    def at(self, places: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> Labels:
        """The labels of some pairs."""
        return Labels(self.ratings[places], self.events[places])

    @staticmethod
    def none(count: int) -> Labels:
        """Pairs of which nothing is known."""
        return Labels(np.full(count, np.nan, np.float32), np.full(count, NO_EVENT, np.int32))


@dataclass(frozen=True, eq=False)
class SplitLabels:
    """The labels of a split.

    Attributes:
        train: of each row of its training log.
        people: int64 [pairs], places among the people of its validation, with
        items: int32 [pairs], their warm targets, and
        validation: the labels of these.
        event_names: what an event's number stands for.
    """

    train: Labels
    people: npt.NDArray[np.int64]
    items: npt.NDArray[np.int32]
    validation: Labels
    event_names: tuple[str, ...]


def split_labels(dataset: Dataset, parts: Split, config: HeadsConfig) -> SplitLabels | None:
    """The labels that the heads of `config` need; None without a head.

    Args:
        dataset: what `parts` was cut from.
        parts: a split; one of a refit has nobody in validation.
        config: which heads there are.

    Raises:
        DataError: the data, or its training log, has not what a head is to foresee.
    """
    if not config.is_on:
        return None
    _refuse_without(dataset, config)
    n_items = len(dataset.catalogue)
    log = sort_by_pair(dataset.interactions, n_items)
    order = np.lexsort((dataset.interactions.timestamps, pair_codes(dataset.interactions, n_items)))
    said = Labels.none(len(log))
    if config.ratings and dataset.ratings is not None:
        said = replace(said, ratings=dataset.ratings[order])
    if config.events and dataset.events is not None:
        said = replace(said, events=dataset.events[order])
    segments = segment_rows(
        log, dataset.catalogue.item_ids, parts.config, has_time=dataset.has_time
    )
    inside = segments.codes == TRAIN
    if parts.refit:
        inside |= segments.codes == VALIDATION
    codes = pair_codes(log, n_items)
    train = _latest(codes[inside], said.at(inside), pair_codes(parts.train, n_items))
    counts = [len(targets) for targets in parts.validation.warm_targets]
    people = np.repeat(np.arange(len(counts)), counts)
    items = np.concatenate([np.empty(0, np.int32), *parts.validation.warm_targets])
    wanted = parts.validation.users[people].astype(np.int64) * n_items + items
    inside = segments.codes == VALIDATION
    validation = _latest(codes[inside], said.at(inside), wanted)
    _refuse_alike(train, dataset.event_names, config)
    return SplitLabels(train, people, items, validation, dataset.event_names)


def _latest(codes: Codes, said: Labels, wanted: Codes) -> Labels:
    """The last label of each of the pairs `wanted`; `codes` ascend, and in a pair by time."""
    found = Labels.none(len(wanted))
    for values, known, out in (
        (said.ratings, ~np.isnan(said.ratings), found.ratings),
        (said.events, said.events != NO_EVENT, found.events),
    ):
        pairs = codes[known]
        if not len(pairs):
            continue
        place = np.searchsorted(pairs, wanted, side="right") - 1
        there = (place >= 0) & (pairs[place] == wanted)
        out[there] = values[known][place[there]]
    return found


def _refuse_without(dataset: Dataset, config: HeadsConfig) -> None:
    for key, role, values in (
        ("ratings", "rating", dataset.ratings), ("events", "event", dataset.events),
    ):  # fmt: skip
        if getattr(config, key) and values is None:
            raise DataError(
                f"heads.{key} needs a column {role!r}, which the interactions of {dataset.path} do "
                f"not have; import them with --map {role}=COLUMN (see `dualtower data import "
                f"--help`), or set heads.{key}=false"
            )


def _refuse_alike(train: Labels, names: tuple[str, ...], config: HeadsConfig) -> None:
    """A head that would have nothing to tell apart is refused, rather than trained in vain."""
    rated = train.ratings[~np.isnan(train.ratings)]
    seen = np.unique(train.events[train.events != NO_EVENT])
    found = ""
    if config.ratings and not len(rated):
        found = "heads.ratings: no interaction of the training log has a rating"
    elif config.ratings and rated.min() == rated.max():
        found = f"heads.ratings: all ratings of the training log are {rated[0]:g}"
    elif config.events and len(seen) < 2:
        which = f"only {names[seen[0]]!r}" if len(seen) else "none"
        found = f"heads.events: needs two kinds of events in the training log, which has {which}"
    if found:
        key = found.partition(":")[0]
        raise DataError(
            f"{found}; import another log (without --min-rating, or with --map to the right "
            f"column), or set {key}=false"
        )
