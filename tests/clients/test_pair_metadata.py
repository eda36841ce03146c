"""What describes a pair, or pins it, takes a deadline and metadata as every other call."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Iterator

import pytest
from recommenders import RECOMMENDERS

from dualtower.errors import UsageError
from dualtower_clients import (
    AsyncRecommender,
    AsyncServingClient,
    DeadlineExceeded,
    Recommender,
    ServingClient,
)
from dualtower_clients.testing import FakeServer

PAIRS = [("request-id", "7")]
ASKS_NOTHING = {"close", "connect", "watch_connections"}  # or nothing for a caller


@pytest.fixture
def shop() -> Iterator[FakeServer]:
    with FakeServer.with_bundle(["rye bread", "oat milk"]) as server:
        yield server


@pytest.fixture(params=RECOMMENDERS)
def kind(request) -> type:
    return RECOMMENDERS[request.param]


def test_metadata_goes_with_what_is_asked_of_the_pair(shop, kind):
    with kind(shop.address) as recommender:
        for ask in (recommender.describe, recommender.status):
            before = len(shop.calls)
            ask(metadata=PAIRS)
            asked = shop.calls[before:]
            assert len(asked) == 3
            assert all(call.metadata["request-id"] == "7" for call in asked)
        before = len(shop.calls)
        with recommender.pinned(metadata=PAIRS) as pair:
            assert all(call.metadata["request-id"] == "7" for call in shop.calls[before:])
            assert len(shop.calls) >= before + 3
            assert pair.recommend(["oat milk"], k=1).item_ids == ("rye bread",)


def test_metadata_that_cannot_be_sent_is_refused(shop, kind):
    with kind(shop.address) as recommender:
        for ask in (recommender.describe, recommender.status, recommender.pinned):
            with pytest.raises(UsageError, match="'no key' is no key"):
                ask(metadata=[("no key", "7")])


def test_pinning_has_a_deadline(shop, kind):
    with kind(shop.address) as recommender:
        shop.delay(math.inf, signature="describe")
        begin_s = time.monotonic()
        for ask in (recommender.describe, recommender.pinned):
            with pytest.raises(DeadlineExceeded):
                ask(timeout_s=0.2)
        assert time.monotonic() - begin_s < 5  # and not the client's own ten seconds each
        shop.heal()
        with shop.delay(math.inf, signature="describe", calls=range(3, 9)):
            begin_s = time.monotonic()
            with pytest.raises(DeadlineExceeded), recommender.pinned(timeout_s=0.5) as pair:
                pair.describe(timeout_s=0.2)
            assert time.monotonic() - begin_s < 5
        with recommender.pinned(timeout_s=5) as pair:
            assert pair.describe(timeout_s=5)


@pytest.mark.parametrize(
    ("threads", "tasks"), [(ServingClient, AsyncServingClient), (Recommender, AsyncRecommender)]
)
def test_both_kinds_take_the_same_arguments(threads, tasks):
    def arguments(kind: type) -> dict[str, list[tuple[str, object, object]]]:
        return {
            name: [
                (one.name, one.kind, one.default)
                for one in inspect.signature(method).parameters.values()
            ]
            for name, method in inspect.getmembers(kind, callable)
            if not name.startswith("_")
        }

    ours, others = arguments(threads), arguments(tasks)
    assert ours == {name: others[name] for name in ours}


def test_every_call_takes_a_deadline_and_metadata():
    for kind in (ServingClient, AsyncServingClient, Recommender, AsyncRecommender):
        for name, method in inspect.getmembers(kind, inspect.isfunction):
            if not name.startswith("_") and name not in ASKS_NOTHING:
                taken = inspect.signature(method).parameters
                assert {"timeout_s", "metadata"} <= set(taken), f"{kind.__name__}.{name}"
