"""What a caller of a serving client gives by mistake is named before anything is sent."""

from __future__ import annotations

import re

import numpy as np
import pytest

from dualtower.errors import UsageError
from dualtower_clients import CallPolicy, RetryPolicy, TensorError, encode
from dualtower_clients.proto import examples_pb2

X = {"x": np.float32([1.0])}


@pytest.fixture
def refused(server, client_of):
    """The words of a call that is refused, of which nothing came to the server."""
    one = server()
    client = client_of(one.address)

    def call(method: str, *arguments, error: type[Exception] = UsageError, **named) -> str:
        with pytest.raises(error) as raised:
            getattr(client, method)(*arguments, **named)
        assert type(raised.value) is error
        assert not one.calls
        return str(raised.value)

    return call


@pytest.mark.parametrize("outputs", ["ids_out", b"ids_out", 5, None])
def test_outputs_is_a_list_of_names(refused, outputs):
    assert "outputs is a list of names, got " + repr(outputs) in refused(
        "predict", "m", X, outputs=outputs
    )
    assert "an output is named by a text, got 5" in refused("predict", "m", X, outputs=[5])


@pytest.mark.parametrize("version", ["2", 2.5, True, 2**70, -1, b"2"])
def test_a_version_is_a_whole_number_that_there_can_be(refused, version):
    for method, more in (("predict", [X]), ("classify", [[{"x": 1.0}]]), ("metadata", [])):
        said = refused(method, "m", *more, version=version)
        assert "version must be" in said
        assert repr(version) in said
    assert "version must be" in refused("status", "m", version=version)


@pytest.mark.parametrize("name", [5, b"m", "\ud800"])
def test_names_are_texts(refused, name):
    assert f"model {'has' if name == chr(0xD800) else 'is'}" in refused("predict", name, X)
    assert re.search("^signature (is|has)", refused("predict", "m", X, signature=name))
    assert re.search("^label (is|has)", refused("predict", "m", X, label=name))
    assert re.search("^an input (is|has)", refused("predict", "m", {name: [1.0]}))
    assert re.search("^an output (is|has)", refused("predict", "m", X, outputs=[name]))


@pytest.mark.parametrize("inputs", [None, [1.0], "x", 5])
def test_inputs_is_a_mapping(refused, inputs):
    said = refused("predict", "m", inputs)
    assert "inputs is a mapping of names to arrays" in said
    assert repr(inputs) in said


@pytest.mark.parametrize("examples", [None, 5, "x", b"x", {"x": 1.0}, examples_pb2.Example()])
def test_examples_is_a_list(refused, examples):
    for method in ("classify", "regress"):
        assert "examples are a list" in refused(method, "m", examples)
    assert "examples are a list" in refused("multi_inference", "m", {"a": "regress"}, examples)


@pytest.mark.parametrize("example", [None, 5, "x", [1.0], ["x", 1.0]])
def test_an_example_is_a_mapping_or_a_message(refused, example):
    said = refused("regress", "m", [{"x": 1.0}, example])
    assert "example 1 of 'm' must be a mapping of names to values, or a tf.train.Example" in said
    said = refused("regress", "m", [{"x": 1.0}], context=5)
    assert "the context of 'm' must be a mapping" in said


def test_other_messages_are_no_examples(refused):
    tensor = encode([1.0])
    said = refused("regress", "m", [tensor])
    assert "example 0 of 'm' must be of the type Example or its bytes, got TensorProto" in said
    said = refused("regress", "m", [b"\xff"])
    assert "example 0 of 'm' must be of the type Example, and its 1 bytes are none" in said


@pytest.mark.parametrize("name", [5, None, "\ud800"])
def test_features_have_names(refused, name):
    said = refused("regress", "m", [{name: 1.0}], error=TensorError)
    assert f"example 0 of 'm' has a feature of the name {name!r}" in said


def test_other_messages_are_no_tensors(refused):
    said = refused("predict", "m", {"x": examples_pb2.Example()}, error=TensorError)
    assert (
        "input 'x' of 'm': a message of the type Example cannot be sent, only TensorProto" in said
    )


@pytest.mark.parametrize("config", [None, {"a": "b"}, "config", examples_pb2.Example(), b"\xff"])
def test_a_configuration_is_a_message(refused, config):
    assert "config must be of the type ModelServerConfig" in refused("reload", config)


@pytest.mark.parametrize("models", ["affine", b"affine", None, 5, [5], {"affine": 1}])
def test_who_waits_gives_a_list_of_models(refused, models):
    assert "wait_until_available" in refused("wait_until_available", models, timeout_s=5)


@pytest.mark.parametrize("timeout_s", ["5", None, float("nan"), float("inf")])
def test_who_waits_says_for_how_long(refused, timeout_s):
    assert "timeout_s must be a number of seconds" in refused(
        "wait_until_available", ["m"], timeout_s=timeout_s
    )


PAIRS = [("request-id", "7")]


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("GetModelMetadata", lambda client: client.metadata("m", metadata=PAIRS)),
        ("GetModelStatus", lambda client: client.status("m", metadata=PAIRS)),
        ("HandleReloadConfigRequest", lambda client: client.reload(b"", metadata=PAIRS)),
        (
            "GetModelStatus",
            lambda client: client.wait_until_available(["m"], timeout_s=5, metadata=PAIRS),
        ),
    ],
)
def test_metadata_goes_with_every_call(server, client_of, method, call):
    one = server()
    call(client_of(one.address))
    assert one.calls_of(method=method)[-1].metadata["request-id"] == "7"


def test_metadata_of_every_call_is_checked(refused):
    wrong = [("no key", "7")]
    assert "no key" in refused("metadata", "m", metadata=wrong)
    assert "no key" in refused("status", "m", metadata=wrong)
    assert "no key" in refused("reload", b"", metadata=wrong)
    assert "no key" in refused("wait_until_available", ["m"], timeout_s=5, metadata=wrong)


@pytest.mark.parametrize("timeout_s", ["5", [1], float("nan"), float("inf")])
def test_a_deadline_is_a_number(refused, client_of, timeout_s):
    for method, more in (("predict", [X]), ("status", []), ("metadata", [])):
        said = refused(method, "m", *more, timeout_s=timeout_s)
        assert f"timeout_s must be a number of seconds, got {timeout_s!r}" in said
    for wrong in (timeout_s, None):
        with pytest.raises(UsageError, match="timeout_s must be a number of seconds"):
            client_of("localhost:1", timeout_s=wrong)


def test_a_deadline_beyond_the_clock_is_a_long_one(server, client_of):
    assert client_of(server().address).predict("m", {}, timeout_s=1e300).version == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("settings", None),
        ("settings", CallPolicy()),
        ("policy", None),
        ("policy", RetryPolicy()),
        ("policy", True),
    ],
)
def test_settings_and_policy_are_not_exchanged(client_of, name, value):
    with pytest.raises(UsageError, match=f"{name} must be (ChannelSettings|CallPolicy), got"):
        client_of("localhost:1", **{name: value})
