"""Models that do not belong together are refused, whatever the order they are asked in."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from dualtower.errors import BundleMismatch, UsageError
from dualtower_clients import Description
from dualtower_clients._pair import check_pair

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
