"""The index beside the server that it belongs to: both find the same."""

from __future__ import annotations

import numpy as np
import pytest

from dualtower_clients import Recommender
from dualtower_clients.index import ItemIndex

TEXTS = [f"item number {row}" for row in range(8)]


@pytest.fixture(scope="module")
def recommender(served):
    with Recommender(served.address) as client:
        yield client


@pytest.fixture(scope="module")
def beside(recommender, tmp_path_factory, write_catalogue) -> ItemIndex:
    """The catalogue of the served bundle, as its item tower embeds it."""
    vectors = recommender.embed_items(TEXTS).vectors
    catalogue = write_catalogue(tmp_path_factory.mktemp("beside") / "a", vectors, salt="a")
    fingerprint = recommender.describe()["item_tower"].fingerprint
    return ItemIndex.open(catalogue.path, expect_fingerprint=fingerprint)


@pytest.mark.parametrize("history", [["item number 1"], ["item number 5", "other"], TEXTS[:4]])
def test_the_index_finds_what_the_recommender_finds(recommender, beside, history):
    best = recommender.recommend(history, k=4)
    users = recommender.embed_users([history])
    known = [f"i{TEXTS.index(text)}" for text in history if text in TEXTS]
    (found,) = beside.search(users, 4, exclude=[known])
    assert found.item_ids == best.item_ids
    np.testing.assert_allclose(found.scores, best.scores, atol=1e-5)


def test_new_items_are_embedded_and_found(recommender, beside, tmp_path):
    beside.save(tmp_path / "items.index")
    index = ItemIndex.open(tmp_path / "items.index", expect_fingerprint=beside.fingerprint)
    new = recommender.embed_items(["salted butter 250 g"])
    index.add(["butter"], new)
    assert index.search(new, 1)[0].item_ids == ("butter",)
