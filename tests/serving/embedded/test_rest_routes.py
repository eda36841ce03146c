"""Paths and what they mean."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtower_clients.proto import inference_pb2
from dualtower_serving.embedded.rest_routes import Route, is_api, path_of, route
from dualtower_serving.embedded.status import Code, StatusError


@pytest.mark.parametrize(
    ("verb", "path", "expected"),
    [
        ("POST", "/v1/models/m:predict", Route("predict", "m")),
        ("POST", "/v1/models/m/versions/7:classify", Route("classify", "m", 7)),
        ("POST", "/v1/models/m/versions/007:regress", Route("regress", "m", 7)),
        ("POST", "/v1/models/m/labels/a.b:predict", Route("predict", "m", None, "a.b")),
        ("POST", "/v1/models/a%2Fb%3Ac%20d:predict", Route("predict", "a/b:c d")),
        ("POST", "/v1/models/a.b+c-d_e:predict", Route("predict", "a.b+c-d_e")),
        ("POST", "/v1/models/%zz:predict", Route("predict", "%zz")),
        ("POST", "/v1/models/%C3%A9:predict", Route("predict", "é")),
        ("GET", "/v1/models/m", Route("status", "m")),
        ("GET", "/v1/models", Route("status", "")),
        ("GET", "/v1/models/versions/1", Route("status", "", 1)),
        ("GET", "/v1/models/m/versions/0", Route("status", "m", 0)),
        ("GET", "/v1/models/m/versions/9223372036854775807", Route("status", "m", 2**63 - 1)),
        ("GET", "/v1/models/m/labels/stable/metadata", Route("metadata", "m", None, "stable")),
        ("GET", "/v1/models/metadata", Route("status", "metadata")),
        ("GET", "/v1/models/metadata/metadata", Route("metadata", "metadata")),
    ],
)
def test_paths(verb: str, path: str, expected: Route):
    assert route(verb, path) == expected


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/v1/models/m:predict"),
        ("POST", "/v1/models/m"),
        ("POST", "/v1/models/m:foo"),
        ("POST", "/v1/models/m:predict/"),
        ("POST", "/v1/models/a/b:predict"),
        ("POST", "/v1/models/m/versions/x:predict"),
        ("POST", "/v1/models/m/versions/-1:predict"),
        ("POST", "/v1/models/m/versions/1/labels/a:predict"),
        ("POST", "/v1/models/:predict"),
        ("POST", "/v1/Models/m:predict"),
        ("POST", "/v1/models/m:Predict"),
        ("GET", "/V1/models/m"),
        ("GET", "/v1/models/"),
        ("GET", "/v1/models/m/"),
        ("GET", "/v1/"),
        ("PUT", "/v1/models/m:predict"),
        ("DELETE", "/v1/models/m"),
        ("HEAD", "/v1/models/m"),
        ("PATCH", "/v1/models/m/metadata"),
    ],
)
def test_what_has_no_meaning(verb: str, path: str):
    assert is_api(path)
    with pytest.raises(StatusError) as raised:
        route(verb, path)
    assert raised.value.code == Code.INVALID_ARGUMENT
    assert raised.value.message == f"Malformed request: {verb} {path}"


@pytest.mark.parametrize("digits", ["9223372036854775808", "9" * 5000])
def test_versions_beyond_64_bits(digits: str):
    with pytest.raises(StatusError, match=r"Failed to convert version: 9.* to numeric"):
        route("GET", f"/v1/models/m/versions/{digits}")


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/v1/models/m?x=1", "/v1/models/m"),
        ("/v1/models/m#x?y", "/v1/models/m"),
        ("http://host:1/v1/models/m?x", "/v1/models/m"),
        ("http://host", "/"),
        ("*", "*"),
        ("?", "/"),
    ],
)
def test_targets(target: str, path: str):
    assert path_of(target) == path


@given(st.text("/:%a1é?#models versions", max_size=40), st.sampled_from(["GET", "POST", "x"]))
@settings(deadline=None)
def test_any_target_has_a_meaning_or_none(tail: str, verb: str):
    path = path_of(f"/v1/models{tail}")
    with contextlib.suppress(StatusError):
        route(verb, path).fill(inference_pb2.ModelSpec())
