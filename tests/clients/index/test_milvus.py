"""Collections in Milvus Lite: what they are named, when they are filled, what they keep."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from milvus_lite.server_manager import server_manager_instance
from pymilvus import MilvusClient

from dualtower.bundle import Bundle
from dualtower.errors import UnavailableError, UsageError
from dualtower_clients.index import ItemIndex, MilvusBackend
from dualtower_serving.launch import free_port


@pytest.fixture
def uri(tmp_path) -> Iterator[str]:
    yield str(tmp_path / "items.db")
    server_manager_instance.release_server(str(tmp_path / "items.db"))


def collections(uri: str) -> set[str]:
    client = MilvusClient(uri)
    try:
        return set(client.list_collections())
    finally:
        client.close()


def test_two_bundles_of_one_database_do_not_mix(uri, catalogue, other_catalogue):
    query = catalogue.vectors[:1]
    with (
        ItemIndex.open(catalogue.path, MilvusBackend(uri)) as first,
        ItemIndex.open(other_catalogue.path, MilvusBackend(uri)) as second,
    ):
        second.add(["new"], query)
        assert "new" not in first
        assert (len(first), len(second)) == (540, 91)
    fingerprints = [Bundle.open(one.path).fingerprint for one in (catalogue, other_catalogue)]
    assert collections(uri) == {f"dualtower_{one}" for one in fingerprints}


def test_changes_stay_in_the_collection(uri, catalogue):
    query = 3 * catalogue.vectors[:1]
    with ItemIndex.open(catalogue.path, MilvusBackend(uri)) as index:
        index.add(["new"], query)
        index.remove(["i0"])
    with ItemIndex.open(catalogue.path, MilvusBackend(uri)) as again:
        assert again.search(query, 1)[0].item_ids == ("new",)
        assert "i0" not in again


def test_a_collection_is_filled_anew_when_that_is_asked_for(uri, catalogue):
    with ItemIndex.open(catalogue.path, MilvusBackend(uri)) as index:
        index.remove(["i0"])
    with ItemIndex.open(catalogue.path, MilvusBackend(uri, refill=True)) as again:
        assert "i0" in again
        assert len(again) == 540
    assert len(collections(uri)) == 1


def test_a_filling_that_fails_leaves_no_collection(uri, catalogue, tmp_path):
    index = ItemIndex.open(catalogue.path)
    index.add(["x" * 70_000], catalogue.vectors[:1])
    index.save(tmp_path / "items.index")
    with pytest.raises(UsageError, match=r"at most 65535 bytes, got 70000 characters"):
        ItemIndex.open(tmp_path / "items.index", MilvusBackend(uri))
    assert collections(uri) == set()


def test_odd_ids_and_categories_come_back_as_they_are(uri, catalogue):
    odd = [
        'q"u',
        "o'te",
        "back\\slash",
        "line\nfeed",
        "50%25",
        "{id}",
        "茶 🍵",
        " ",
        "\x00",
        "a/b:c",
    ]
    vectors = 5 * np.eye(len(odd), 16, dtype=np.float32)
    with ItemIndex.open(catalogue.path, MilvusBackend(uri)) as index:
        index.add(odd, vectors, categories=odd)
        assert [one.item_ids[0] for one in index.search(vectors, 1)] == odd
        for place, item_id in enumerate(odd):
            for chosen in ([item_id], {"category": item_id}):
                found = index.search(vectors[place : place + 1], 2, filter=chosen)
                assert found[0].item_ids == (item_id,)
        index.remove(odd)
        assert len(index) == 540


def test_long_lists_are_refused(uri, catalogue):
    with (
        ItemIndex.open(catalogue.path, MilvusBackend(uri)) as index,
        pytest.raises(UsageError, match="at most 16384 items, got k 16384 and up to 1 excluded"),
    ):
        index.search(catalogue.vectors[:1], 16_384, exclude=[["i1"]])


def test_a_server_is_used_by_its_address(uri, catalogue):
    address = server_manager_instance.start_and_get_uri(uri)
    with ItemIndex.open(catalogue.path, MilvusBackend(address, prefix="shop")) as index:
        index.add(["new"], catalogue.vectors[:1] * 2)
    with ItemIndex.open(catalogue.path, MilvusBackend(address, prefix="shop")) as again:
        assert again.search(catalogue.vectors[:1], 1)[0].item_ids == ("new",)
    assert collections(uri) == {f"shop_{Bundle.open(catalogue.path).fingerprint}"}


def test_milvus_that_does_not_answer_is_named(catalogue):
    address = f"http://localhost:{free_port()}"
    with pytest.raises(UnavailableError, match=f"Milvus at {address} failed: .*that it runs there"):
        ItemIndex.open(catalogue.path, MilvusBackend(address, timeout_s=0.5))


def test_a_file_that_another_process_has_open_is_named(catalogue, uri):
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(UnavailableError, match="no other process has its file open"):
            ItemIndex.open(catalogue.path, MilvusBackend(uri))
        holder.stdin.close()


_HOLDER = """
import sys, pymilvus
client = pymilvus.MilvusClient(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""
