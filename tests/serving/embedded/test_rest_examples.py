"""Bodies of :classify and :regress as examples."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format, text_format

from dualtower_clients.proto import examples_pb2
from dualtower_serving.embedded import rest_examples, rest_json
from dualtower_serving.embedded.rest_settings import RestLimits
from dualtower_serving.embedded.status import Code, StatusError


def input_of(body: Any) -> examples_pb2.Input:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return rest_examples.input_of(rest_json.parse(raw, RestLimits()))


def features_of(body: Any) -> dict[str, Any]:
    (example,) = input_of(body).example_list.examples
    return {
        name: (feature.WhichOneof("kind"), list(getattr(feature, feature.WhichOneof("kind")).value))
        for name, feature in example.features.feature.items()
        if feature.WhichOneof("kind")
    }


def test_the_json_type_decides_the_feature():
    body = (
        b'{"examples":[{"s":"a\\u00e9","b":{"b64":"AP8="},"i":1,"f":1.0,"e":1e2,"t":true,'
        b'"l":[1,false,-2],"m":["x",{"b64":"eQ=="}],"n":[0.5,NaN,99999999999999999999],'
        b'"none":[],"twice":1,"twice":"x","\xff":2}]}'
    )
    read = features_of(body)
    nan = read["n"][1].pop(1)
    assert nan != nan
    assert read == {
        "s": ("bytes_list", ["aé".encode()]),
        "b": ("bytes_list", [b"\0\xff"]),
        "i": ("int64_list", [1]),
        "f": ("float_list", [1.0]),
        "e": ("float_list", [100.0]),
        "t": ("int64_list", [1]),
        "l": ("int64_list", [1, 0, -2]),
        "m": ("bytes_list", [b"x", b"y"]),
        "n": ("float_list", [0.5, float(np.float32(1e20))]),
        "twice": ("bytes_list", [b"x"]),
        "\ufffd": ("int64_list", [2]),
    }


def test_a_context_makes_a_list_with_context():
    read = input_of({"context": {"w": 0.5}, "examples": [{"x": 1}, {}]})
    expected = text_format.Parse(
        """example_list_with_context {
          context { features { feature { key: "w" value { float_list { value: 0.5 } } } } }
          examples { features { feature { key: "x" value { int64_list { value: 1 } } } } }
          examples { features { } }
        }""",
        examples_pb2.Input(),
    )
    assert json_format.MessageToDict(read) == json_format.MessageToDict(expected)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {},
            "JSON Value: {} When method is classify, key 'examples' is expected and was not found",
        ),
        (
            {"examples": {}},
            "JSON Value: {\n    \"examples\": {}\n} Expecting 'examples' value to be an list/array",
        ),
        (
            {"examples": []},
            "JSON Value: {\n    \"examples\": []\n} 'examples' value is an empty array",
        ),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{}, [1]]}, "Example must be JSON object but got JSON Array"),
        ({"examples": [None]}, "Example must be JSON object but got JSON Null"),
        ({"context": True, "examples": []}, "Example must be JSON object but got JSON True"),
        ({"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type: Null"),
        ({"examples": [{"x": {}}]}, "Feature: x has element with unexpected JSON type: Object"),
        ({"examples": [{"x": [[]]}]}, "Feature: x has element with unexpected JSON type: Array"),
        (
            {"examples": [{"x": [1, "a"]}]},
            "Unexpected element type in feature: x expecting type: int64",
        ),
        (
            {"examples": [{"x": [1.5, 1]}]},
            "Unexpected element type in feature: x expecting type: float",
        ),
        (
            {"examples": [{"x": ["a", True]}]},
            "Unexpected element type in feature: x expecting type: bytes",
        ),
        (
            {"examples": [{"x": 2**63}]},
            "Feature: x has uint64_t element. Only int64_t is supported.",
        ),
        ({"examples": [{"x": {"b64": "?"}}]}, "Unable to base64 decode"),
    ],
)
def test_what_is_wrong(body: Any, message: str):
    with pytest.raises(StatusError) as raised:
        input_of(body)
    assert raised.value.code == Code.INVALID_ARGUMENT
    assert raised.value.message == message
