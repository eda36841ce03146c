"""Servers that are full, small, slow, lost, or another one: no row is lost, no space is mixed."""

from __future__ import annotations

import shutil
import threading

import grpc
import numpy as np
import pytest
from bulk_runs import check_whole, embedded, items, run, same, vectors, write_jsonl, write_parquet
from relay import busy

from dualtower.bundle import Bundle
from dualtower.errors import UsageError
from dualtower_clients import (
    BundleMismatch,
    DeadlineExceeded,
    ModelNotFound,
    RequestError,
    ServerFailure,
    ServerUnreachable,
    ServingClient,
)
from dualtower_serving import start

ROWS = items(600)


@pytest.fixture
def source(tmp_path):
    return write_parquet(tmp_path / "items.parquet", ROWS)


@pytest.fixture(scope="module")
def wanted(direct):
    return embedded(direct, [text for _, text in ROWS])


def check(out, wanted):
    ids, found = vectors(out)
    assert ids == [item_id for item_id, _ in ROWS]
    assert same(found, wanted)
    check_whole(out)


def test_a_full_queue_is_waited_for(relay, source, tmp_path, wanted):
    server = relay(lambda before, context: busy(context) if before % 2 else None)
    run(server.address, source, tmp_path / "out", batch_rows=32, shard_rows=250)
    assert server.embedded > 600 / 32
    check(tmp_path / "out", wanted)


def test_a_server_that_takes_small_requests_only_gets_small_ones(served, source, tmp_path, wanted):
    run(served.address, source, tmp_path / "out", batch_rows=256)  # it takes 32
    check(tmp_path / "out", wanted)


def test_the_size_that_a_server_takes_is_learnt(relay, tmp_path):
    server = relay()
    source = write_parquet(tmp_path / "many.parquet", items(2000))
    run(server.address, source, tmp_path / "out", batch_rows=256, max_in_flight=1)
    assert max(server.rows[-20:]) == 32


def test_a_request_that_is_too_slow_is_split(relay, tmp_path, wanted):
    server = None

    def too_slow(before, context):
        if server.rows[-1] > 8:
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "")

    server = relay(too_slow, threads=1)
    source = write_parquet(tmp_path / "few.parquet", ROWS[:40])
    run(server.address, source, tmp_path / "out", batch_rows=16, max_in_flight=1)
    assert same(vectors(tmp_path / "out")[1], wanted[:40])
    check_whole(tmp_path / "out")


def test_a_single_row_that_is_refused_ends_the_run_with_its_reason(relay, source, tmp_path):
    server = relay(lambda _, context: context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such"))
    with pytest.raises(RequestError, match="no such"):
        run(server.address, source, tmp_path / "out", batch_rows=4)
    assert not list((tmp_path / "out").glob("*part-*"))
    assert not list((tmp_path / "out").glob(".part-*"))


def test_a_failure_inside_the_server_ends_the_run_and_what_is_complete_stays(
    relay, source, tmp_path, wanted
):
    server = relay(
        lambda before, context: (
            context.abort(grpc.StatusCode.INTERNAL, "out of luck") if before == 30 else None
        )
    )
    options = {"batch_rows": 10, "shard_rows": 100}
    with pytest.raises(ServerFailure, match="out of luck"):
        run(server.address, source, tmp_path / "out", **options)
    done = len(list((tmp_path / "out").glob("_part-*.done.json")))
    assert done >= 1
    report = run(server.address, source, tmp_path / "out", **options)
    assert report.resumed_rows == 100 * done
    check(tmp_path / "out", wanted)


def test_a_server_that_is_lost_for_a_while_is_waited_for(relay, source, tmp_path, wanted):
    server = relay(
        lambda before, context: (
            context.abort(grpc.StatusCode.UNAVAILABLE, "gone") if 20 <= before < 60 else None
        )
    )
    run(server.address, source, tmp_path / "out", batch_rows=8, shard_rows=200)
    check(tmp_path / "out", wanted)


def test_a_server_that_stays_away_ends_the_run_by_its_name(relay, source, tmp_path):
    server = relay(
        lambda before, context: (
            context.abort(grpc.StatusCode.UNAVAILABLE, "gone for good") if before > 5 else None
        )
    )
    with pytest.raises(ServerUnreachable, match="gone for good"):
        run(server.address, source, tmp_path / "out", batch_rows=8, patience_s=0.2)


def test_a_server_that_never_answers_ends_the_run(relay, source, tmp_path):
    """Its patience does, before every size of request down to one row was tried."""
    never = threading.Event()
    server = relay(lambda before, context: never.wait(60))
    options = {"timeout_s": 0.3, "patience_s": 0.4, "max_in_flight": 1}
    try:
        with pytest.raises(DeadlineExceeded, match="smaller batches"):
            run(server.address, source, tmp_path / "out", **options)
    finally:
        never.set()
    assert min(server.rows) > 32


def test_nobody_at_the_address_is_told_at_once(source, tmp_path):
    with pytest.raises(ServerUnreachable, match="dualtower serve"):
        run("localhost:1", source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_server_that_is_killed_and_restarted_loses_no_row(
    mini_bundle, model_server, relay, source, tmp_path, wanted
):
    serving = mini_bundle / "serving"
    config = tmp_path / "models.config"
    config.write_text((serving / "models.config").read_text().replace("/models", str(serving)))
    flags = [f"--model_config_file={config}"]
    first = model_server(*flags)
    first.wait_ready("item_tower", "user_tower", "recommender")
    again = []

    def kill(before, context):
        if before == 20:
            first.process.kill()
            first.process.wait()  # until then the port is not free
            again.append(model_server(*flags, port=first.port))

    server = relay(kill, address=first.address, threads=1)
    options = {"batch_rows": 8, "shard_rows": 200, "max_in_flight": 4, "patience_s": 120}
    try:
        run(server.address, source, tmp_path / "out", **options)
    except ServerUnreachable:
        pytest.fail(f"not served again:\n{again[0].log}")
    assert again[0].process.poll() is None
    check(tmp_path / "out", wanted)


@pytest.fixture(scope="module")
def served_b(bundles):
    with start(bundles["b1"], engine="embedded") as server:
        yield server


def test_another_bundle_under_the_same_version_is_not_mixed_in(
    relay, bundles, served_b, source, tmp_path, wanted
):
    """As when a server is replaced between two calls: nothing fails, the version is the same."""
    server = None

    def replace(before, context):
        if before == 30:
            server.upstream = served_b.address

    server = relay(replace, threads=1)
    with pytest.raises(BundleMismatch, match="--restart") as caught:
        run(server.address, source, tmp_path / "out", batch_rows=10, shard_rows=100)
    assert Bundle.open(bundles["b1"]).fingerprint in str(caught.value)
    ids, found = vectors(tmp_path / "out")
    assert len(ids) in (100, 200)  # what came before
    assert same(found, wanted[: len(ids)])


def publish(source, target, version, *, as_version=None):
    for model in ("item_tower", "user_tower", "recommender"):
        to = target / "serving" / model / str(as_version or version)
        staging = to.with_name("staging.tmp")
        shutil.copytree(source / "serving" / model / str(version), staging)
        staging.rename(to)


class Swap:
    """Publishes another version when a run is at its 15th call, and goes on when it is loaded."""

    def __init__(self, address, change):
        self.address, self.change, self._lock = address, change, threading.Lock()
        self.is_done = False

    def __call__(self, before, context):
        with self._lock:
            if before < 15 or self.is_done:
                return
            self.change()
            with ServingClient(self.address) as client:
                versions = set()
                while 2 not in versions:
                    states = client.status("item_tower")
                    versions = {one.version for one in states if one.state == "AVAILABLE"}
            self.is_done = True


@pytest.mark.slow
def test_a_version_of_another_bundle_ends_the_run_and_what_is_complete_stays(
    bundles, relay, source, tmp_path, wanted
):
    folder = tmp_path / "bundle"
    shutil.copytree(bundles["a1"], folder)
    with start(folder, engine="embedded") as served:
        swap = Swap(served.address, lambda: publish(bundles["b2"], folder, 2))
        server = relay(swap, address=served.address)
        with pytest.raises(BundleMismatch, match="--restart"):
            run(server.address, source, tmp_path / "out", batch_rows=10, shard_rows=100)
        ids, found = vectors(tmp_path / "out")
        assert len(ids) == 100
        assert same(found, wanted[:100])
        with pytest.raises(UsageError, match=r"fingerprint: .* then, .* now"):
            run(server.address, source, tmp_path / "out", batch_rows=10, shard_rows=100)


@pytest.mark.slow
def test_a_version_of_the_same_bundle_goes_on(bundles, relay, source, tmp_path, wanted):
    folder = tmp_path / "bundle"
    shutil.copytree(bundles["a1"], folder)
    with start(folder, engine="embedded") as served:
        swap = Swap(served.address, lambda: publish(bundles["a1"], folder, 1, as_version=2))
        server = relay(swap, address=served.address)
        report = run(server.address, source, tmp_path / "out", batch_rows=10, shard_rows=100)
    assert report.versions == (1, 2)
    check(tmp_path / "out", wanted)


def test_another_bundle_than_the_expected_one_is_refused(served, source, tmp_path):
    with pytest.raises(BundleMismatch, match="the caller's"):
        run(served.address, source, tmp_path / "out", expect_fingerprint="0" * 64)
    assert not (tmp_path / "out").exists()


def test_a_version_or_label_that_is_not_there_is_named(served, source, tmp_path):
    for options in ({"version": 7}, {"label": "stable"}):
        with pytest.raises((ModelNotFound, RequestError)):
            run(served.address, source, tmp_path / "out", **options)


def test_vectors_that_are_no_numbers_are_refused(garbled, tmp_path, source):
    from dualtower_clients import ResponseError, encode
    from dualtower_clients.proto import inference_pb2

    def answer(call):
        response = inference_pb2.PredictResponse()
        response.model_spec.version.value = 1
        if call.signature == "describe":
            names = ("dim", "history_items", "item_tokens", "k_max", "bundle_version")
            values = {name: np.int32([4]) for name in names} | {"fingerprint": np.array(["f"])}
        else:
            (texts,) = call.inputs.values()
            values = {"embedding": np.full((len(texts), 4), np.nan, "f4")}
        for alias, value in values.items():
            response.outputs[alias].CopyFrom(encode(value))
        return response.SerializeToString()

    with pytest.raises(ResponseError, match="NaN"):
        run(garbled(answer), source, tmp_path / "out")


def test_a_file_that_changes_while_it_is_read_is_noticed(relay, tmp_path):
    path = write_jsonl(tmp_path / "items.jsonl", ROWS)

    def append(before, context):
        if before == 5:
            with path.open("a") as stream:
                stream.write('{"item_id": "more", "text": "x"}\n')

    with pytest.raises(UsageError, match="was changed while it was read"):
        run(relay(append).address, path, tmp_path / "out", batch_rows=10)
