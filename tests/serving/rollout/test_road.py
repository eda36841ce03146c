"""The whole road on one server, step by step, with what must be refused on the way."""

from __future__ import annotations

import json
import shutil
import signal
import time

import pytest

from dualtower.bundle import Bundle
from dualtower.errors import BundleError, GateFailed, UnavailableError, UsageError
from dualtower_clients import ModelNotFound, Recommender, ServingClient
from dualtower_serving.rollout.load_step import load
from dualtower_serving.rollout.overview import overview
from dualtower_serving.rollout.promote_step import promote
from dualtower_serving.rollout.prune_step import prune
from dualtower_serving.rollout.push_step import push
from dualtower_serving.rollout.shadow.report import Limits
from dualtower_serving.rollout.shadow_step import shadow
from dualtower_serving.rollout.sync_step import sync
from dualtower_serving.rollout.unload_step import unload

FAST_TO_FAIL = "--max_num_load_retries=0"


def _stable(address: str) -> tuple[int, str]:
    with Recommender(address, label="stable") as recommender:
        best = recommender.recommend([], k=1)
        return best.version, best.fingerprint


@pytest.fixture
def requests_file(tmp_path):
    path = tmp_path / "requests.jsonl"
    rows = [{"history": [f"item number {n % 8}", f"item number {n % 5}"]} for n in range(40)]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


@pytest.mark.slow
def test_the_whole_road(place, pairs, fingerprints, serve_target, requests_file) -> None:
    made = place()
    made.path.mkdir()
    with pytest.raises(UsageError, match="holds no pair yet"):
        made.load(None, "localhost:1")
    assert made.run(push, Bundle.open(pairs[1])).changed
    assert not made.run(push, Bundle.open(pairs[1])).changed, "it is there whole"
    with pytest.raises(BundleError, match="is no bundle"):
        made.run(push, Bundle.open(made.path))
    address = serve_target(made, FAST_TO_FAIL)

    # the first pair
    with pytest.raises(UsageError, match="name each with --server"):
        made.load(1)
    with pytest.raises(UsageError, match=r"--base-config FILE .*--no-other-models"):
        made.run(load, servers=[address])
    with pytest.raises(BundleError, match=r"no whole .*/7 \(versions that are whole: 1\)"):
        made.load(7, address)
    assert made.load(1, address).state.labels == {"stable": 1, "canary": 1}
    assert _stable(address) == (1, fingerprints[1])
    with pytest.raises(UsageError, match="the first that was stable here"):
        made.rollback()

    # a second one beside it
    for version in (2, 3, 4, 5, 6):
        made.run(push, Bundle.open(pairs[version]))
    with pytest.raises(UsageError, match="version 2 is not loaded"):
        made.promote(2)
    assert made.load(2).state.loaded == (1, 2)
    assert not made.load(2).changed
    assert _stable(address) == (1, fingerprints[1]), "a load moves no label"

    # held against the first
    with pytest.raises(GateFailed, match="passed no shadow run against version 1"):
        made.run(promote, version=2)
    with pytest.raises(UsageError, match="carries no requests"), made.session("shadow") as session:
        shadow(session)
    with made.session("shadow") as session:
        outcome, report = shadow(session, requests=requests_file, count=40, limits=Limits(
            p50_ratio=None, p95_ratio=None))  # fmt: skip
    assert not report.failures
    figures = {one.name: one.value for one in report.figures}
    assert figures["error rate"] == 0
    assert 0.3 < figures["overlap@10"] < 1
    assert outcome.facts["report"]["passed"]
    assert made.run(promote, version=2).state.labels == {"stable": 2, "canary": 2}
    assert _stable(address) == (2, fingerprints[2])
    assert not made.run(promote, version=2).changed

    # back, and no further
    assert made.rollback().state.stable == 1
    assert not made.rollback().changed
    assert _stable(address) == (1, fingerprints[1])
    with pytest.raises(GateFailed, match="passed no shadow run"):
        made.run(promote, version=2)

    # a space without sense is seen for what it is
    made.load(4)
    with made.session("shadow") as session:
        _, report = shadow(session, version=4, requests=requests_file, count=40)
    assert {"items, rank agreement", "users, rank agreement"} <= {
        one.name for one in report.failures
    }
    with pytest.raises(GateFailed, match="passed no shadow run"):
        made.run(promote, version=4)

    # what a server does not take, or takes and cannot answer with
    for version, said in ((5, "recommender version 5: DATA_LOSS"), (6, "does not answer: .*table")):
        with pytest.raises(GateFailed, match=f"(?s)no label has moved.*{said}"):
            made.load(version)
        assert made.state.loaded == (1, 2, 4)
    assert _stable(address) == (1, fingerprints[1])

    # room again
    made.promote(2)
    for version, said in ((2, "answers under canary, stable"), (1, "rollback` leads"), (9, "no v")):
        with pytest.raises(UsageError, match=said):
            made.run(unload, [version])
    with pytest.raises(UsageError, match="not removed: it is what canary and stable leads to"):
        made.run(prune, versions=[2])
    with pytest.raises(UsageError, match="not removed: it is loaded"):
        made.run(prune, versions=[4])
    made.run(unload, [4])
    with ServingClient(address) as client, pytest.raises(ModelNotFound):
        client.predict("user_tower", {}, signature="describe", version=4)
    outcome = made.run(prune, keep=1)
    assert outcome.facts["versions"] == [3, 4, 5]
    assert sorted(path.name for path in (made.path / "user_tower").iterdir()) == ["1", "2", "6"]
    assert not (made.path / "bundles" / fingerprints[3]).exists()
    with made.session("status", dry_run=True) as session:
        assert overview(session)["in_line"]

    # a number is never given to another bundle, the same bundle may come back
    stranger = made.path.parent / "stranger"
    shutil.copytree(pairs[3], stranger)
    text = (stranger / "bundle.json").read_text(encoding="utf-8")
    (stranger / "bundle.json").write_text(text.replace(fingerprints[3], "0" * 64), encoding="utf-8")
    with pytest.raises(UsageError, match=r"is, or was, bundle .*--version 7"):
        made.run(push, Bundle.open(stranger))
    assert made.run(push, Bundle.open(pairs[3])).changed


@pytest.mark.slow
def test_a_new_version_that_died_and_a_server_that_started_again(
    place, fingerprints, serve_target
) -> None:
    made = place(1, 2)
    address = serve_target(made)
    made.load(1, address)
    made.load(2)
    made.promote(2)

    # the stable version disappears from under the server
    for model in ("user_tower", "item_tower", "recommender"):
        (made.path / model / "2").rename(made.path / model / "2.away")
    with ServingClient(address) as client:
        while any(
            one.version == 2 and one.state == "AVAILABLE" for one in client.status("user_tower")
        ):
            time.sleep(0.05)
    with made.session("status", dry_run=True) as session:
        assert not overview(session)["in_line"]
    with pytest.raises(UnavailableError, match="no label has moved"):
        made.promote(2)
    made.rollback()
    assert _stable(address) == (1, fingerprints[1])

    # a server that starts anew reads the file that the last step left
    server = made.servers[-1]
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    with pytest.raises(UnavailableError, match="no server answers"):
        made.hurried.rollback()
    address = serve_target(made, port=server.port)
    assert _stable(address) == (1, fingerprints[1])
    for model in ("user_tower", "item_tower", "recommender"):
        (made.path / model / "2.away").rename(made.path / model / "2")
    made.run(sync)
    with made.session("status", dry_run=True) as session:
        assert overview(session)["in_line"]
    assert made.promote(2).state.stable == 2
