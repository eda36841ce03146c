"""Labels after the merge of a split, by hand and by brute force, and in the batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dualtower.errors import DataError
from dualtower_trainer.data import Catalogue, Dataset, Interactions, Split, SplitConfig, split
from dualtower_trainer.heads import split_labels
from dualtower_trainer.heads_config import HeadsConfig
from dualtower_trainer.learner_setup import make_sampler
from dualtower_trainer.run_config import RunConfig

BOTH = HeadsConfig(events=True, ratings=True)
NAN = float("nan")
NAMES = ("buy", "view")
# user, item, time, rating, event
LOG = (
    (0, 0, 10, 3, "view"),
    (0, 0, 20, 5, ""),  # the last rating before the cut; no event, so "view" stays
    (0, 1, 15, NAN, "buy"),
    (0, 2, 30, 2, "view"),
    (0, 2, 40, NAN, "buy"),  # bought later without a rating: the rating stays
    (1, 0, 5, 1, "buy"),
    (1, 1, 12, NAN, ""),
    (1, 1, 12, 4, "buy"),
    (1, 2, 25, 2, "view"),
    (1, 2, 25, 3, "buy"),  # the same moment: the later row
    (0, 0, 110, 1, "buy"),  # from here on validation
    (0, 3, 120, 4, "view"),
    (0, 3, 130, 2, "buy"),
    (1, 3, 140, NAN, "view"),
    (1, 0, 150, 2, ""),
    (2, 3, 50, 5, "buy"),
    (2, 0, 60, 5, "view"),
)
CUT = SplitConfig(kind="time", validation_start="1970-01-01T00:01:40Z", min_history=1)


def hand_made(order=None, log=LOG) -> Dataset:
    rows = [log[place] for place in (range(len(log)) if order is None else order)]
    users, items, times, ratings, events = zip(*rows, strict=True)
    ids = np.array([f"i{row}" for row in range(4)], object)
    return Dataset(
        Catalogue(ids, ids, None, np.zeros(4, bool)),
        Interactions(
            np.array(users, np.int32), np.array(items, np.int32), np.array(times, np.int64),
            np.ones(len(rows), np.float32), np.array(["a", "b", "c"], object),
        ),
        Path("data"), 0, np.array(ratings, np.float32),
        np.array([NAMES.index(event) if event else -1 for event in events], np.int32), NAMES,
    )  # fmt: skip


def by_pair(parts: Split, labels) -> dict[tuple[int, int], tuple[float, int]]:
    rows = zip(
        parts.train.users.tolist(), parts.train.items.tolist(), labels.train.ratings.tolist(),
        labels.train.events.tolist(), strict=True,
    )  # fmt: skip
    return {(user, item): (rating, event) for user, item, rating, event in rows}


@pytest.mark.parametrize("shuffled", [False, True])
def test_the_latest_label_before_the_cut_stands_for_the_pair(shuffled: bool) -> None:
    order = None
    if shuffled:  # but for rows of one moment, whose order counts
        order = np.random.default_rng(0).permutation(len(LOG))
        places = [int(np.flatnonzero(order == row)[0]) for row in (8, 9)]
        order[places[0]], order[places[1]] = sorted((8, 9), reverse=places[0] > places[1])
    dataset = hand_made(order)
    parts = split(dataset, CUT)
    labels = split_labels(dataset, parts, BOTH)
    expected = {
        (0, 0): (5, 1), (0, 1): (NAN, 0), (0, 2): (2, 0), (1, 0): (1, 0), (1, 1): (4, 0),
        (1, 2): (3, 0), (2, 3): (5, 0), (2, 0): (5, 1),
    }  # fmt: skip
    found = by_pair(parts, labels)
    assert set(found) == set(expected)
    for pair, wanted in expected.items():
        assert found[pair] == pytest.approx(wanted, nan_ok=True), pair


def test_validation_targets_have_what_was_said_in_validation() -> None:
    dataset = hand_made()
    parts = split(dataset, CUT)
    labels = split_labels(dataset, parts, BOTH)
    found = [
        (parts.validation.users[person], item, rating, event)
        for person, item, rating, event in zip(
            labels.people, labels.items, labels.validation.ratings, labels.validation.events,
            strict=True,
        )
    ]  # fmt: skip
    assert found[0] == (0, 3, 2, 0)
    assert found[1][:2] == (1, 3)
    assert np.isnan(found[1][2])
    assert found[1][3] == 1
    assert len(found) == 2, "items known from the history are no targets"


def test_the_last_fit_takes_the_labels_of_validation_too() -> None:
    dataset = hand_made()
    parts = split(dataset, CUT, refit=True)
    labels = split_labels(dataset, parts, BOTH)
    found = by_pair(parts, labels)
    assert found[0, 0] == (1, 0)
    assert found[0, 3] == (2, 0)
    assert found[1, 0] == (2, 0)
    assert len(labels.validation) == 0


@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("kind", ["time", "last", "random"])
def test_a_brute_force_search_finds_the_same(planted: Dataset, kind: str, refit: bool) -> None:
    config = SplitConfig(kind=kind, validation_share=0.2, test_share=0.2 * (kind != "last"))
    parts = split(planted, config, refit=refit)
    labels = split_labels(planted, parts, BOTH)
    log = planted.interactions
    assert len(labels.train) == len(parts.train)
    for row in range(0, len(parts.train), 7):
        mine = (log.users == parts.train.users[row]) & (log.items == parts.train.items[row])
        mine &= log.timestamps <= parts.train.timestamps[row]  # the last one that is visible
        for values, known, found in (
            (planted.ratings, ~np.isnan(planted.ratings), labels.train.ratings[row]),
            (planted.events, planted.events >= 0, labels.train.events[row]),
        ):
            rows = np.flatnonzero(mine & known)
            if len(rows):
                assert found == values[rows[np.argmax(log.timestamps[rows])]]
            else:
                assert np.isnan(found) or found == -1


def test_what_no_head_asks_for_is_not_there(planted: Dataset) -> None:
    parts = split(planted)
    assert split_labels(planted, parts, HeadsConfig()) is None
    rated = split_labels(planted, parts, HeadsConfig(ratings=True))
    assert (rated.train.events == -1).all()
    done = split_labels(planted, parts, HeadsConfig(events=True))
    assert np.isnan(done.train.ratings).all()


@pytest.mark.parametrize("diverse", [False, True])
def test_each_target_of_a_batch_has_its_own_label(
    planted: Dataset, small_config: RunConfig, diverse: bool
) -> None:
    negatives = replace(small_config.negatives, diverse_targets=diverse)
    config = replace(small_config, heads=BOTH, negatives=negatives)
    parts = split(planted, config.split)
    known = by_pair(parts, labels := split_labels(planted, parts, BOTH))
    sampler = make_sampler(parts, config, labels)
    users = np.unique(parts.train.users)
    counts = np.bincount(parts.train.users)[users]
    users = users[counts >= 2]
    plain = make_sampler(parts, config).batch(seed=4, step=0)
    batch = sampler.batch(seed=4, step=0)
    for name in ("rows", "targets", "history", "candidates", "accidental"):
        np.testing.assert_array_equal(getattr(batch, name), getattr(plain, name))
    assert np.isnan(plain.ratings).all()
    labelled = 0
    for row, place in np.argwhere(batch.target_mask > 0):
        pair = (int(users[batch.users[row]]), int(batch.rows[batch.targets[row, place]]))
        rating, event = known[pair]
        assert batch.ratings[row, place] == pytest.approx(rating, nan_ok=True)
        assert batch.events[row, place] == event
        labelled += not np.isnan(rating)
    assert labelled > 20
    assert np.isnan(batch.ratings[batch.target_mask == 0]).all()
    assert (batch.events[batch.target_mask == 0] == -1).all()


@pytest.mark.parametrize(
    ("change", "heads", "message"),
    [
        ({"ratings": None}, BOTH, r"needs a column 'rating'.*--map rating=COLUMN.*ratings=false"),
        ({"events": None}, BOTH, r"needs a column 'event'.*--map event=COLUMN.*events=false"),
    ],
)
def test_a_log_without_the_column_names_it(change: dict, heads: HeadsConfig, message: str) -> None:
    dataset = replace(hand_made(), **change)
    with pytest.raises(DataError, match=message):
        split_labels(dataset, split(dataset, CUT), heads)


def test_labels_that_tell_nothing_apart_are_refused() -> None:
    dataset = hand_made()
    parts = split(dataset, CUT)
    late = dataset.interactions.timestamps >= 100
    for change, message in (
        ({"ratings": np.where(late, dataset.ratings, NAN)}, "no interaction .* has a rating"),
        ({"ratings": np.full(len(LOG), 4, np.float32)}, "all ratings of the training log are 4"),
        ({"events": np.where(late, dataset.events, -1)}, "training log, which has none"),
        ({"events": np.where(late, 1, 0)}, "training log, which has only 'buy'"),
    ):
        with pytest.raises(DataError, match=message):
            split_labels(replace(dataset, **change), parts, BOTH)
