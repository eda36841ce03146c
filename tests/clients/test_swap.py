"""Versions change under a client: it notices, checks the pair anew, and never mixes two spaces."""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from recommenders import RECOMMENDERS

from dualtower.bundle import MODELS, Bundle
from dualtower_clients import BundleMismatch, ServingClient
from dualtower_serving import start


def publish(source: Path, target: Path, model: str, version: int) -> None:
    """Adds a version to a served bundle as a publisher should: complete, then renamed."""
    staging = target / "serving" / model / f"{version}.tmp"
    shutil.copytree(source / "serving" / model / str(version), staging)
    staging.rename(target / "serving" / model / str(version))


def wait_for(client: ServingClient, model: str, version: int) -> None:
    deadline = time.monotonic() + 30
    while not any(
        one.version == version and one.state == "AVAILABLE" for one in client.status(model)
    ):
        assert time.monotonic() < deadline, client.status(model)
        time.sleep(0.05)


def test_a_new_pair_is_noticed_and_a_half_done_one_is_refused(bundles, tmp_path):
    folder = tmp_path / "bundle"
    shutil.copytree(bundles["a1"], folder)
    second = bundles["b2"]
    fingerprints = [Bundle.open(path).fingerprint for path in (folder, second)]
    with (
        start(folder, engine="embedded") as server,
        ServingClient(server.address) as plain,
        ExitStack() as stack,
    ):
        clients = [stack.enter_context(kind(server.address)) for kind in RECOMMENDERS.values()]
        for client in clients:
            assert client.recommend([], k=1).fingerprint == fingerprints[0]
        publish(second, folder, "recommender", 2)
        wait_for(plain, "recommender", 2)
        for client in clients:
            with pytest.raises(BundleMismatch) as caught:
                client.recommend([], k=1)
            assert all(fingerprint in str(caught.value) for fingerprint in fingerprints)
            # models that did not change still answer from the space that was checked
            assert client.embed_items(["a"]).fingerprint == fingerprints[0]
        for model in MODELS[:2]:
            publish(second, folder, model, 2)
            wait_for(plain, model, 2)
        for client in clients:
            best = client.recommend([], k=1)
            assert (best.version, best.fingerprint) == (2, fingerprints[1])
            assert client.embed_items(["a"]).fingerprint == fingerprints[1]


def test_a_mixed_pair_is_refused_on_connecting(bundles, tmp_path):
    folder = tmp_path / "bundle"
    shutil.copytree(bundles["a1"], folder)
    other = bundles["b1"]
    shutil.rmtree(folder / "serving" / "item_tower")
    shutil.copytree(other / "serving" / "item_tower", folder / "serving" / "item_tower")
    with start(folder, engine="embedded") as server:
        for kind in RECOMMENDERS.values():
            with pytest.raises(BundleMismatch) as caught:
                kind(server.address)
            for bundle in (folder, other):
                assert Bundle.open(bundle).fingerprint in str(caught.value)
