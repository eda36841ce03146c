"""The rules of labels, without a server: what moves, what is remembered, where rollback leads."""

from __future__ import annotations

import json

import pytest

from dualtower.errors import UsageError
from dualtower_serving.rollout.state import Passed, State


@pytest.fixture
def state() -> State:
    return State(pairs={1: "aa", 2: "bb", 3: "cc"}, loaded=(1, 2, 3), servers=("a:1",), root="/m")


def test_the_canary_goes_along_unless_it_is_on_trial(state: State) -> None:
    first = state.with_label("stable", 1)
    assert first.labels == {"stable": 1, "canary": 1}
    assert first.before == ()
    trial = first.with_label("canary", 2)
    assert (trial.labels, trial.before) == ({"stable": 1, "canary": 2}, ())
    assert trial.rolled_back(1).labels == first.labels
    assert trial.with_label("stable", 2).labels == {"stable": 2, "canary": 2}


def test_rollback_goes_the_way_of_promotions_backwards(state: State) -> None:
    third = state.with_label("stable", 1).with_label("stable", 2).with_label("stable", 3)
    assert (third.before, third.previous) == ((1, 2), 2)
    second = third.rolled_back(2)
    assert (second.stable, second.before) == (2, (1,))
    assert third.rolled_back(1).before == ()
    assert second.with_label("stable", 3).before == (1, 2)
    again = third.with_label("stable", 1)  # forward to an old one: it is no place to go back to
    assert (again.stable, again.before) == (1, (2, 3))


def test_a_pair_that_is_left_is_left_under_every_label(state: State) -> None:
    moved = state.with_label("stable", 1).with_label("stable", 2)
    moved = moved.with_label("beta", 2).with_label("old", 1)
    assert moved.rolled_back(1).labels == {"stable": 1, "canary": 1, "beta": 1, "old": 1}


def test_a_shadow_run_counts_for_its_very_pair(state: State) -> None:
    state = State(**{**vars(state.with_label("stable", 1)), "passed": (Passed(2, 1, "bb"),)})
    assert state.has_passed(2)
    assert not state.has_passed(3)
    assert not state.with_label("stable", 3).has_passed(2), "it was held against version 1"
    promoted = state.with_label("stable", 2)
    assert not promoted.rolled_back(1).has_passed(2), "it was left for a reason"
    other = State(**{**vars(state), "pairs": {1: "aa", 2: "dd"}})
    assert not other.has_passed(2), "another bundle under the same number"


def test_json_keeps_all_of_it(state: State) -> None:
    state = State(**{**vars(state.with_label("stable", 1)), "passed": (Passed(2, 1, "bb"),),
                     "others": "model_config_list {\n}\n", "pruned": {9: "ff"}})  # fmt: skip
    assert State.from_json(json.loads(json.dumps(state.as_json()))) == state
    with pytest.raises(UsageError, match="another version of dualtower"):
        State.from_json({"pairs": {}})
