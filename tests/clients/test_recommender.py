"""The recommender, of threads and of asyncio, against a live server with a real bundle."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from recommenders import RECOMMENDERS

from dualtower.bundle import Bundle
from dualtower.errors import UsageError
from dualtower_clients import (
    BundleMismatch,
    DeadlineExceeded,
    ModelNotFound,
    Recommender,
    ServingClient,
)


@pytest.fixture(scope="module", params=RECOMMENDERS)
def kind(request):
    return RECOMMENDERS[request.param]


@pytest.fixture(scope="module")
def recommender(kind, served):
    with kind(served.address) as client:
        yield client


def test_describe_tells_what_the_bundle_is(recommender, mini_bundle):
    described = recommender.describe()
    bundle = Bundle.open(mini_bundle)
    assert set(described) == {"user_tower", "item_tower", "recommender"}
    for name, one in described.items():
        assert one.model == name
        assert one.fingerprint == bundle.fingerprint
        assert one.bundle_version == bundle.version
        assert (one.dim, one.history_items, one.k_max) == (4, 6, 5)


def test_items_are_ranked_and_the_history_is_left_out(recommender):
    best = recommender.recommend(["item number 1", "something else"], k=5)
    assert len(best.item_ids) == 5
    assert "i1" not in best.item_ids
    assert list(best.scores) == sorted(best.scores, reverse=True)
    assert best.version == 1
    assert len(best.fingerprint) == 64
    assert best.elapsed_ms > 0
    assert (best.address, best.attempts) == (recommender.address, 1)
    assert (
        recommender.recommend(["item number 1", "something else"], k=2).item_ids
        == (best.item_ids[:2])
    )


def test_excluded_items_are_left_out(recommender):
    best = recommender.recommend(["item number 1"], k=5)
    without = recommender.recommend(["item number 1"], k=5, exclude=best.item_ids[:2])
    assert without.item_ids[:3] == best.item_ids[2:]


def test_a_list_is_short_when_little_is_left(recommender):
    left = recommender.recommend_by_ids([], k=5, exclude=[f"i{number}" for number in range(6)])
    assert sorted(left.item_ids) == ["i6", "i7"]
    assert len(left.scores) == 2
    none = recommender.recommend_by_ids([], k=5, exclude=[f"i{number}" for number in range(8)])
    assert none.item_ids == ()


def test_ids_and_texts_of_known_items_agree(recommender):
    by_text = recommender.recommend(["item number 3", "item number 5"], k=4)
    by_id = recommender.recommend_by_ids(["i3", "nobody", "i5"], k=4)
    assert by_text.item_ids == by_id.item_ids
    np.testing.assert_allclose(by_text.scores, by_id.scores, rtol=1e-6)


def test_items_beyond_the_history_length_are_still_not_recommended(recommender):
    known = [f"i{number}" for number in range(8)]
    best = recommender.recommend_by_ids(known[:7], k=5)  # the models read six of them
    assert best.item_ids == ("i7",)
    assert recommender.recommend_by_ids(known[:7], k=5, exclude=["i7"]).item_ids == ()


def test_a_batch_is_its_rows(recommender):
    histories = [[], ["item number 0"], ["item number 2"] * 9]
    batch = recommender.recommend_batch(histories, k=3, exclude=[[], ["i4"], []])
    assert batch[1].item_ids == recommender.recommend(histories[1], k=3, exclude=["i4"]).item_ids
    assert batch[2].item_ids == recommender.recommend(["item number 2"], k=3).item_ids
    assert recommender.recommend_batch([], k=3) == []
    with pytest.raises(UsageError, match="2 lists for 3 histories"):
        recommender.recommend_batch(histories, k=3, exclude=[[], []])
    with pytest.raises(UsageError, match="2 lists for 3 histories"):
        recommender.recommend_batch_by_ids(histories, k=3, exclude=[[], []])


def test_embeddings_have_unit_length_and_rank_as_the_recommender_does(recommender):
    items = recommender.embed_items([f"item number {number}" for number in range(8)])
    assert items.vectors.shape == (8, 4)
    np.testing.assert_allclose(np.linalg.norm(items.vectors, axis=1), 1, rtol=1e-5)
    users = recommender.embed_users([["item number 1"], []])
    assert users.vectors.shape == (2, 4)
    by_ids = recommender.embed_users_by_ids([["i1"], ["nobody"]])
    np.testing.assert_allclose(users.vectors, by_ids.vectors, rtol=1e-5)
    scores = items.vectors @ users.vectors[0]
    scores[1] = -np.inf
    order = [f"i{row}" for row in np.argsort(-scores)[:5]]
    assert list(recommender.recommend(["item number 1"], k=5).item_ids) == order


def test_nothing_to_embed_is_an_empty_array(recommender):
    assert recommender.embed_items([]).vectors.shape == (0, 4)
    assert recommender.embed_users([]).vectors.shape == (0, 4)


@pytest.mark.parametrize("k", [0, 6])
def test_k_beyond_the_bundle_is_refused(recommender, k):
    with pytest.raises(UsageError, match="between 1 and 5"):
        recommender.recommend([], k=k)


def test_a_string_in_place_of_a_list_is_refused(recommender):
    with pytest.raises(UsageError, match="list of texts"):
        recommender.embed_items("one text")
    with pytest.raises(UsageError, match="list of strings"):
        recommender.recommend("one text", k=1)


@pytest.mark.parametrize("text", ["", "a\x00b", "é 茶 🍵", "x" * 1_000_000, "\u2028\t"])
def test_odd_texts_are_answered(recommender, text):
    assert recommender.embed_items([text]).vectors.shape == (1, 4)
    assert len(recommender.recommend([text], k=2).item_ids) == 2


def test_threads_share_one_client(served):
    recommender = Recommender(served.address)
    want = {n: recommender.recommend([f"item number {n}"], k=3).item_ids for n in range(8)}
    wrong: list[object] = []

    def ask(number: int) -> None:
        for _ in range(20):
            got = recommender.recommend([f"item number {number}"], k=3).item_ids
            if got != want[number]:
                wrong.append((number, got))

    threads = [threading.Thread(target=ask, args=(number % 8,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recommender.close()
    assert not wrong


def test_the_expected_fingerprint_is_checked(kind, served, mini_bundle):
    right = Bundle.open(mini_bundle).fingerprint
    with kind(served.address, expect_fingerprint=right) as client:
        assert client.recommend([], k=1).fingerprint == right
    with pytest.raises(BundleMismatch, match="the caller's"):
        kind(served.address, expect_fingerprint="0" * 64)


def test_the_states_of_the_three_models(recommender):
    found = recommender.status()
    assert set(found) == {"user_tower", "item_tower", "recommender"}
    for (only,) in found.values():
        assert (only.version, only.state) == (1, "AVAILABLE")


def test_a_pinned_client_asks_for_the_version_that_answers_now(kind, recommender):
    with recommender.pinned() as pair:
        assert pair.recommend(["item number 1"], k=5).item_ids == (
            recommender.recommend(["item number 1"], k=5).item_ids
        )
        assert pair.embed_items(["a"]).fingerprint == pair.embed_users([[]]).fingerprint


def test_a_version_that_is_not_there(kind, served):
    with pytest.raises(ModelNotFound, match="user_tower, 7"):
        kind(served.address, version=7)
    with pytest.raises(UsageError, match="not both"):
        kind(served.address, version=7, label="stable")


@pytest.mark.parametrize("timeout_s", [0, -1])
def test_no_time_is_an_error_and_no_hang(recommender, timeout_s):
    with pytest.raises(DeadlineExceeded):
        recommender.recommend([], k=1, timeout_s=timeout_s)


@pytest.mark.parametrize("timeout_s", [float("nan"), float("inf")], ids=str)
def test_what_is_no_time_is_refused(recommender, timeout_s):
    with pytest.raises(UsageError, match="number of seconds"):
        recommender.recommend([], k=1, timeout_s=timeout_s)


def test_metadata_and_status_of_the_models(served):
    with ServingClient(served.address) as client:
        metadata = client.metadata("item_tower")
        assert metadata.version == 1
        default = metadata.signatures["serving_default"]
        assert default.inputs["text"].dtype == "string"
        assert default.inputs["text"].shape == (-1,)
        assert default.outputs["embedding"].shape == (-1, 4)
        described = metadata.signatures["describe"]
        assert described.defaults["of"].tolist() == [b""]
        assert described.outputs["bundle_version"].dtype == "int64"
        (only,) = client.status("item_tower")
        assert (only.version, only.state, only.error_code) == (1, "AVAILABLE", "OK")
        client.wait_until_available(["item_tower", "recommender"], timeout_s=5)
