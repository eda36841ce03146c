"""The public test double, as a user's own tests would use it: every sentence of its docstrings."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import trustme
from recommenders import RECOMMENDERS

from dualtower.errors import UnavailableError, UsageError
from dualtower_clients import (
    BundleMismatch,
    CallPolicy,
    ChannelSettings,
    DeadlineExceeded,
    ModelNotFound,
    Recommender,
    RequestError,
    ResponseError,
    RetryPolicy,
    ServerBusy,
    ServerFailure,
    ServerUnreachable,
    ServingClient,
    TlsSettings,
)
from dualtower_clients.proto import management_pb2
from dualtower_clients.results import TensorSpec
from dualtower_clients.testing import (
    FakeModel,
    FakeServer,
    FakeSignature,
    Refusal,
    hash_vectors,
)

BREADS = {"b1": "rye bread", "b2": "white bread", "m1": "oat milk", "m2": "whole milk"}
ONCE = CallPolicy(retry=None)


@pytest.fixture
def server():
    with FakeServer() as one:
        yield one


@pytest.fixture
def client(server):
    with ServingClient(server.address, policy=ONCE) as one:
        yield one


@pytest.fixture(params=RECOMMENDERS)
def kind(request):
    return RECOMMENDERS[request.param]


def half_plus_two(inputs):
    return {"y": inputs["x"] / 2 + 2}


def test_a_function_answers(server, client):
    server.add_model("half_plus_two", half_plus_two)
    answer = client.predict("half_plus_two", {"x": np.float32([1, 2])})
    assert answer.outputs["y"].tolist() == [2.5, 3.0]
    assert answer.outputs["y"].dtype == np.float32
    assert (answer.model, answer.version) == ("half_plus_two", 1)


def test_arrays_that_are_always_answered(server, client):
    server.add_model("fixed", {"names": ["a", "é"], "scores": np.float64([[1, 2]])})
    outputs = client.predict("fixed", {"anything": [1]}).outputs
    assert outputs["names"].tolist() == [b"a", "é".encode()]
    assert outputs["scores"].shape == (1, 2)
    assert set(client.predict("fixed", {}, outputs=["names"]).outputs) == {"names"}
    with pytest.raises(RequestError, match="alias not found"):
        client.predict("fixed", {}, outputs=["nope"])


def test_versions_and_labels_as_a_model_server_has_them(server, client):
    for version in (1, 2, 10):
        server.add_model("m", {"v": np.int32([version])}, version=version)
    assert client.predict("m", {}).version == 10
    assert client.predict("m", {}, version=2).outputs["v"].tolist() == [2]
    server.set_label("m", "stable", 1)
    assert client.predict("m", {}, label="stable").version == 1
    server.set_state("m", 10, "UNLOADING")
    assert client.predict("m", {}).version == 2
    assert [(one.version, one.state) for one in client.status("m")] == [
        (10, "UNLOADING"), (2, "AVAILABLE"), (1, "AVAILABLE"),
    ]  # fmt: skip
    for ask in (
        lambda: client.predict("nobody", {}),
        lambda: client.predict("m", {}, version=10),
        lambda: client.status("nobody"),
    ):
        with pytest.raises(ModelNotFound):
            ask()
    with pytest.raises(RequestError, match="Unrecognized servable version label: blue"):
        client.predict("m", {}, label="blue")


def test_signatures_are_told_and_held_to(server, client):
    signature = FakeSignature(
        half_plus_two,
        inputs={"x": TensorSpec("float32", (-1,)), "scale": TensorSpec("float32", ())},
        outputs={"y": TensorSpec("float32", None)},
        defaults={"scale": np.float32(1)},
    )
    server.add_model("m", FakeModel({"serving_default": signature}))
    told = client.metadata("m").signatures["serving_default"]
    assert told.inputs["x"] == TensorSpec("float32", (-1,))
    assert told.outputs["y"] == TensorSpec("float32", None)
    assert told.defaults["scale"] == np.float32(1)
    assert client.predict("m", {"x": np.float32([2])}).outputs["y"].tolist() == [3]
    with pytest.raises(RequestError, match="input size does not match"):
        client.predict("m", {})
    with pytest.raises(RequestError, match="x is float64, the signature wants float32"):
        client.predict("m", {"x": np.float64([1])})
    with pytest.raises(RequestError, match='"nope" not found'):
        client.predict("m", {"x": np.float32([1])}, signature="nope")


def test_examples_are_classified_and_regressed(server, client):
    def classify(inputs):
        ages = [one["age"][0] + one["bonus"][0] for one in inputs["examples"]]
        return {"classes": [["old"]] * len(ages), "scores": np.float32(ages)[:, None]}

    def regress(inputs):
        return {"outputs": np.float32([one["age"][0] for one in inputs["examples"]])}

    server.add_model(
        "m", FakeModel({"classes": FakeSignature(classify), "values": FakeSignature(regress)})
    )
    examples = [{"age": 30}, {"age": 60, "bonus": 5}]
    found = client.classify("m", examples, context={"bonus": 1}, signature="classes")
    assert [(one.labels, one.scores.tolist()) for one in found.examples] == [
        (("old",), [31]), (("old",), [65]),
    ]  # fmt: skip
    assert client.regress("m", examples, signature="values").values.tolist() == [30, 60]
    both = client.multi_inference(
        "m", {"classes": "classify", "values": "regress"}, examples, context={"bonus": 1}
    )
    assert both["values"].values.tolist() == [30, 60]


def test_a_function_may_refuse(server, client):
    def refuse(inputs):
        raise Refusal("FAILED_PRECONDITION", "not today")

    server.add_model("m", refuse)
    with pytest.raises(RequestError, match="not today"):
        client.predict("m", {})
    server.add_model("m", lambda inputs: inputs["missing"])
    with pytest.raises(ServerFailure, match="a function of the test raised KeyError: 'missing'"):
        client.predict("m", {})
    server.add_model("m", lambda inputs: [1])
    with pytest.raises(ServerFailure, match="function gives arrays by alias, got list"):
        client.predict("m", {})
    server.add_model("m", lambda inputs: {"y": object()})
    with pytest.raises(ServerFailure, match="output 'y' of the function"):
        client.predict("m", {})


def test_calls_are_recorded_with_all_that_came_along(server, client):
    server.add_model("m", half_plus_two)
    client.predict("m", {"x": np.float32([1])}, timeout_s=5, metadata=[("user", "ann")])
    server.fail("INTERNAL")
    with pytest.raises(ServerFailure):
        client.status("m")
    first, second = server.calls
    assert (first.method, first.model, first.signature) == ("Predict", "m", "serving_default")
    assert first.inputs["x"].tolist() == [1]
    assert first.metadata["user"] == "ann"
    assert 4 < first.timeout_s < 5.5, "gRPC rounds deadlines up"
    assert (second.method, second.model, second.inputs) == ("GetModelStatus", "m", None)


def test_faults_come_by_number_by_model_and_by_method(server, client):
    server.add_model("a", {"y": [1]})
    server.add_model("b", {"y": [1]})
    server.fail("UNAVAILABLE", "away", model="a", calls=[1])
    client.predict("a", {})
    client.predict("b", {})
    with pytest.raises(ServerUnreachable, match="away"):
        client.predict("a", {})
    client.predict("a", {})
    server.fail("INTERNAL", method="GetModelStatus")
    client.predict("a", {})
    with pytest.raises(ServerFailure):
        client.status("a")
    server.heal()
    client.status("a")


def test_a_share_of_the_calls_is_the_same_with_each_seed(server, client):
    server.add_model("m", {"y": [1]})

    def failed(seed: int) -> list[bool]:
        server.heal()
        server.fail("INTERNAL", share=0.3, seed=seed)
        found = []
        for _ in range(100):
            try:
                client.predict("m", {})
                found.append(False)
            except ServerFailure:
                found.append(True)
        return found

    first = failed(1)
    assert first == failed(1)
    assert first != failed(2)
    assert 10 < sum(first) < 60


def test_a_full_queue_is_one_to_try_again(server, client):
    server.add_model("m", {"y": [1]})
    server.fill_queue(calls=[0])
    with pytest.raises(ServerBusy) as caught:
        client.predict("m", {})
    assert caught.value.retryable
    server.heal()
    server.fill_queue(calls=[0])
    with ServingClient(server.address) as patient:
        assert patient.predict("m", {}).attempts == 2


def test_delays_hold_to_the_deadline_of_the_caller(server, client):
    server.add_model("m", {"y": [1]})
    server.delay(math.inf, calls=[0])
    with pytest.raises(DeadlineExceeded):
        client.predict("m", {}, timeout_s=0.1)
    client.predict("m", {})
    server.heal()
    server.delay(0.05)
    assert client.predict("m", {}).elapsed_ms >= 50


def test_stopping_ends_calls_that_wait(server):
    server.add_model("m", {"y": [1]})
    server.delay(math.inf)
    failed: list[type] = []

    def ask() -> None:
        with ServingClient(server.address, policy=ONCE) as one:
            try:
                one.predict("m", {}, timeout_s=60)
            except Exception as error:
                failed.append(type(error))

    thread = threading.Thread(target=ask)
    thread.start()
    _until(lambda: server.calls)
    server.stop()
    thread.join(30)
    assert failed == [ServerUnreachable]


def test_garbage_and_large_answers(server, client):
    server.add_model("m", {"y": [1]})
    server.garble(calls=[0])
    with pytest.raises(ResponseError):
        client.predict("m", {})
    server.swell(10_000_000)
    assert client.predict("m", {}).outputs["y"].tolist() == [1]
    small = ChannelSettings(max_receive_bytes=1_000_000)
    with (
        ServingClient(server.address, settings=small) as one,
        pytest.raises(RequestError, match="too large"),
    ):
        one.predict("m", {})


def test_a_restart_keeps_port_models_and_calls(server):
    server.add_model("m", {"y": [1]})
    port = server.port
    with ServingClient(server.address) as client:
        client.predict("m", {})
        server.stop()
        with pytest.raises(ServerUnreachable):
            client.predict("m", {})
        server.start()
        _until(lambda: _answers(client))
    assert (server.port, len(server.calls)) == (port, 2)


def _answers(client: ServingClient) -> bool:
    try:
        client.predict("m", {})
    except ServerUnreachable:
        return False
    return True


def test_a_port_that_is_taken_is_named(server):
    with pytest.raises(UnavailableError, match=f"port {server.port} is taken"):
        FakeServer(port=server.port)


def test_a_reload_moves_labels_and_unloads_the_rest(server, client):
    for name in ("keep", "go"):
        server.add_model(name, {"y": [1]})
    config = management_pb2.ModelServerConfig()
    one = config.model_config_list.config.add(name="keep")
    one.version_labels["stable"] = 1
    client.reload(config)
    assert client.predict("keep", {}, label="stable").version == 1
    with pytest.raises(ModelNotFound):
        client.predict("go", {})
    one.version_labels["stable"] = 7
    with pytest.raises(RequestError, match="version 7"):
        client.reload(config)


def test_other_services_are_not_implemented(server):
    with (
        grpc.insecure_channel(server.address) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        channel.unary_unary("/some.Other/Method")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_tls():
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    credentials = grpc.ssl_server_credentials(
        [(certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes())]
    )
    trusted = TlsSettings(root_certificates=authority.cert_pem.bytes())
    with (
        FakeServer.with_bundle(BREADS, credentials=credentials) as server,
        Recommender(server.address, settings=ChannelSettings(tls=trusted)) as client,
    ):
        assert client.recommend_by_ids(["b1"], k=1).item_ids == ("b2",)


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda server: server.fail("NOPE"), "code must be one of"),
        (lambda server: server.fail("OK"), "code must be one of"),
        (lambda server: server.delay(1, share=2), "between 0 and 1"),
        (lambda server: server.set_state("m", 1, "GONE"), "state must be one of"),
        (lambda server: server.set_state("m", 1, "END"), "no version 1, only none"),
        (lambda server: server.set_label("m", "a", 3), "no version 3"),
    ],
    ids=["code", "ok", "share", "state", "model", "label"],
)
def test_wrong_use_is_named(server, use, said):
    with pytest.raises(UsageError, match=said):
        use(server)


def test_a_bundle_ranks_by_shared_words(kind):
    with FakeServer.with_bundle(BREADS, k_max=3) as server, kind(server.address) as client:
        best = client.recommend(["white bread"], k=3)
        assert best.item_ids[0] == "b1"
        assert "b2" not in best.item_ids
        assert client.recommend_by_ids(["m1", "unknown"], k=1).item_ids == ("m2",)
        assert client.recommend_by_ids(["m1"], k=3, exclude=["m2", "b1"]).item_ids == ("b2",)
        items = client.embed_items(list(BREADS.values())).vectors
        np.testing.assert_array_equal(items, hash_vectors(list(BREADS.values()), dim=16))
        user = client.embed_users([["white bread"]]).vectors[0]
        np.testing.assert_allclose(best.scores[0], items[0] @ user, rtol=1e-6)
        assert client.embed_users([[]]).vectors.shape == (1, 16)
        with pytest.raises(UsageError, match="between 1 and 3"):
            client.recommend([], k=4)


def test_the_signatures_of_a_fake_bundle_are_those_of_an_exported_one(served):
    names = ("user_tower", "item_tower", "recommender")
    with (
        FakeServer.with_bundle(BREADS) as server,
        ServingClient(server.address) as fake,
        ServingClient(served.address) as real,
    ):
        for name in names:
            ours, theirs = fake.metadata(name).signatures, real.metadata(name).signatures
            assert ours.keys() == theirs.keys() - {"__saved_model_init_op"}
            for signature in ours:
                assert {alias: spec.dtype for alias, spec in ours[signature].inputs.items()} == {
                    alias: spec.dtype for alias, spec in theirs[signature].inputs.items()
                }


def test_vectors_do_not_depend_on_the_process():
    code = (
        "from dualtower_clients.testing import hash_vectors\n"
        "print(hash_vectors(['Rye bread', ''], dim=3).tolist())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1
    vectors = hash_vectors(["Rye bread", "rye  BREAD", "bread", "é 茶"], dim=8)
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert not np.array_equal(vectors, hash_vectors(["rye bread"] * 4, dim=8, salt="b"))


def test_a_rollout_that_is_half_done_is_refused(kind):
    with FakeServer.with_bundle(BREADS) as server, kind(server.address) as client:
        first = client.recommend([], k=1)
        server.add_bundle(BREADS, version=2, salt="b", models=["recommender"])
        with pytest.raises(BundleMismatch, match="rollout is under way"):
            client.recommend([], k=1)
        server.add_bundle(BREADS, version=2, salt="b")
        second = client.recommend([], k=1)
    assert (first.version, second.version) == (1, 2)
    assert first.fingerprint != second.fingerprint


def test_a_fresh_interpreter_needs_neither_tensorflow_nor_pytest():
    code = (
        "import sys, dualtower_clients.testing\n"
        "print({'tensorflow', 'pytest', 'trustme'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "set()"


class Shop:
    """Somebody's own code: what the front page shows, whether the model server answers or not."""

    def __init__(self, address: str, best_sellers: list[str]) -> None:
        policy = CallPolicy(retry=RetryPolicy(max_attempts=2, initial_pause_s=0.01))
        self._recommender = Recommender(address, timeout_s=1.0, policy=policy)
        self._best_sellers = best_sellers

    def front_page(self, bought: list[str]) -> list[str]:
        try:
            return list(self._recommender.recommend_by_ids(bought, k=2).item_ids)
        except (DeadlineExceeded, ServerBusy, ServerUnreachable):
            return self._best_sellers

    def close(self) -> None:
        self._recommender.close()


def test_somebodys_own_code():
    with FakeServer.with_bundle(BREADS) as server:
        shop = Shop(server.address, best_sellers=["m1"])
        assert shop.front_page(["b1"])[0] == "b2"
        server.fill_queue(model="recommender", calls=[0])
        assert shop.front_page(["b1"])[0] == "b2", "one full queue is tried again"
        server.fail("UNAVAILABLE", "no")
        assert shop.front_page(["b1"]) == ["m1"]
        asked = [call for call in server.calls if call.signature == "from_item_ids"]
        assert len(asked) == 5
        assert asked[0].inputs["item_ids"][0, 0] == b"b1"
        assert asked[0].timeout_s < 1.1, "gRPC rounds deadlines up"
        shop.close()


def test_the_documentations_examples_run():
    text = (Path(__file__).parents[2] / "clients" / "TESTING.md").read_text(encoding="utf-8")
    scope: dict[str, Any] = {"__name__": "testing_md"}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, scope)
    tests = [name for name in scope if name.startswith("test_")]
    assert tests == [
        "test_the_front_page",
        "test_any_model",
        "test_answers_that_are_not_right",
        "test_a_page_with_a_known_list",
        "test_a_user_who_leaves_ends_the_call",
        "test_a_connection_that_is_dead_without_a_word",
    ]
    for name in tests:
        scope[name]()
    found = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(scope["FrontPage"]).run(found)
    assert found.wasSuccessful(), found.failures + found.errors
    assert found.testsRun == 1


def _until(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
