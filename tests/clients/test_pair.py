"""Models that do not belong together are refused, whatever the order they are asked in."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from dualtower.errors import BundleMismatch, UsageError
from dualtower_clients import Description
from dualtower_clients._pair import KnownPairs, Pair, check_pair

MODELS = ("user_tower", "item_tower", "recommender")


def describe(**fingerprints: str) -> dict[str, Description]:
    return {
        model: Description(model, fingerprints.get(model, "aa"), 3, 3, 128, 100, 24, 200)
        for model in MODELS
    }


def test_models_of_one_bundle_are_a_pair():
    pair = check_pair(describe(), address="h:1", expected=None)
    assert (pair.fingerprint, pair.dim, pair.history_items, pair.k_max) == ("aa", 128, 100, 200)
    assert pair.answers_for("item_tower", 3)
    assert not pair.answers_for("item_tower", 4)


@pytest.mark.parametrize("odd", MODELS)
def test_one_odd_model_is_found_and_both_are_named(odd):
    for order in itertools.permutations(MODELS):
        mixed = describe(**{odd: "bb"})
        with pytest.raises(BundleMismatch) as caught:
            check_pair({name: mixed[name] for name in order}, address="h:1", expected=None)
        text = str(caught.value)
        for part in ("aa", "bb", odd, "h:1", "version 3", "dualtower serve"):
            assert part in text


def test_another_bundle_than_the_callers_is_refused():
    with pytest.raises(BundleMismatch, match=r"cc \(the caller's\).*found aa"):
        check_pair(describe(), address="h:1", expected="cc")
    assert check_pair(describe(), address="h:1", expected="aa").fingerprint == "aa"


@pytest.mark.parametrize("k", [0, -1, 201])
def test_k_has_to_fit_the_bundle(k):
    pair = check_pair(describe(), address="h:1", expected=None)
    with pytest.raises(UsageError, match=f"between 1 and 200, got {k}"):
        pair.check_k(k)


def test_the_smallest_k_max_counts():
    models = describe()
    models["recommender"] = dataclasses.replace(models["recommender"], k_max=50)
    assert check_pair(models, address="h:1", expected=None).k_max == 50


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def pair_of(fingerprint: str, version: int, address: str = "h:1") -> Pair:
    said = {
        model: Description(model, fingerprint, version, version, 128, 100, 24, 200)
        for model in MODELS
    }
    return check_pair(said, address=address, expected=None)


def test_what_was_checked_covers_its_versions_at_its_address_until_a_silence():
    clock = Clock()
    known, pair = KnownPairs(clock), pair_of("aa", 3)
    assert known.add(pair, known.era)
    for _ in range(5):  # answers without a pause
        clock.now_s += 0.9
        assert known.covering("h:1", "item_tower", 3) is pair
    assert known.covering("h:1", "item_tower", 4) is None
    assert known.covering("other:1", "item_tower", 3) is None
    clock.now_s += 1.1
    assert known.covering("h:1", "item_tower", 3) is None
    assert known.covered_once("h:1", "item_tower", 3) is pair
    assert known.current is pair, "good enough to make a request of"


def test_what_was_said_before_a_loss_is_not_taken_in_after_it():
    known, pair = KnownPairs(Clock()), pair_of("aa", 3)
    era = known.era
    known.forget()
    assert not known.add(pair, era)
    assert known.covering("h:1", "item_tower", 3) is None
    assert known.current is None


def test_earlier_pairs_of_an_address_stay_known_up_to_a_limit():
    known = KnownPairs(Clock())
    for version in range(1, 21):
        known.add(pair_of(f"{version:02}", version), known.era)
    assert known.covering("h:1", "recommender", 20).fingerprint == "20"
    assert known.covering("h:1", "recommender", 13).fingerprint == "13"
    assert known.covering("h:1", "recommender", 12) is None
    assert known.current.fingerprint == "13", "of the last answer"


def test_one_version_of_two_bundles_forgets_both():
    clock = Clock()
    known = KnownPairs(clock)
    known.add(pair_of("aa", 3, "h:1"), known.era)
    known.add(pair_of("bb", 4, "h:2"), known.era)
    with pytest.raises(BundleMismatch, match=r"aa .*version 3 at h:1.*found bb .*at h:3"):
        known.add(pair_of("bb", 3, "h:3"), known.era)
    assert known.covering("h:1", "item_tower", 3) is None
    known.add(pair_of("aa", 3, "h:1"), known.era)
    clock.now_s += 2  # who was silent since may have been exchanged
    assert known.add(pair_of("bb", 3, "h:3"), known.era)


def test_models_of_several_versions_have_no_version_together():
    mixed = describe()
    mixed["recommender"] = dataclasses.replace(mixed["recommender"], version=4)
    with pytest.raises(UsageError, match="recommender 4"):
        _ = check_pair(mixed, address="h:1", expected=None).version
    assert pair_of("aa", 3).version == 3
