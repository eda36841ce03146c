"""Every gRPC code becomes a named error that says where, what, and what to do next."""

from __future__ import annotations

import pickle

import grpc
import pytest

from dualtower.errors import DualtowerError
from dualtower_clients import errors
from dualtower_clients._calls import CallFacts, error_of

FACTS = CallFacts("host:8500", "recommender", 2.5)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.name != "OK"])
def test_every_code_has_a_named_error(code):
    error = error_of(code, "the server's words", FACTS)
    assert type(error) is not errors.ClientError
    assert isinstance(error, DualtowerError)
    assert error.address == "host:8500"
    assert error.model == "recommender"
    assert error.server_message == "the server's words"
    for part in ("host:8500", "recommender", "the server's words", code.name, "; "):
        assert part in str(error)


@pytest.mark.parametrize(
    ("code", "details", "kind", "retryable"),
    [
        ("UNAVAILABLE", "Connection refused", errors.ServerUnreachable, True),
        (
            "UNAVAILABLE",
            "The batch scheduling queue to which this task was submitted is full; currently ...",
            errors.ServerBusy,
            True,
        ),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", errors.DeadlineExceeded, True),
        ("RESOURCE_EXHAUSTED", "Server Threadpool Exhausted", errors.ServerBusy, True),
        (
            "RESOURCE_EXHAUSTED",
            "SERVER: Received message larger than max (5000051 vs. 4194304)",
            errors.RequestError,
            False,
        ),
        ("NOT_FOUND", "Servable not found", errors.ModelNotFound, False),
        ("INVALID_ARGUMENT", "", errors.RequestError, False),
        ("FAILED_PRECONDITION", "", errors.RequestError, False),
        ("UNIMPLEMENTED", "", errors.RequestError, False),
        ("UNAUTHENTICATED", "", errors.AccessDenied, False),
        ("CANCELLED", "", errors.CallCancelled, False),
        ("INTERNAL", "", errors.ServerFailure, False),
        ("DATA_LOSS", "", errors.ServerFailure, False),
    ],
)
def test_the_kind_and_whether_to_try_again(code, details, kind, retryable):
    error = error_of(grpc.StatusCode[code], details, FACTS)
    assert type(error) is kind
    assert error.retryable is retryable


def test_the_deadline_is_named():
    assert "2.5 s" in str(error_of(grpc.StatusCode.DEADLINE_EXCEEDED, "", FACTS))


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = errors.__doc__ or ""
    for name in errors.__all__:
        assert name in drawn


def test_errors_survive_a_process_boundary():
    error = error_of(grpc.StatusCode.UNAVAILABLE, "gone", FACTS)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.address, again.server_message) == (str(error), "host:8500", "gone")
