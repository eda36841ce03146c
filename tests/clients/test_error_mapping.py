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
        ("CANCELLED", "", errors.ServerUnreachable, True),
        ("INTERNAL", "", errors.ServerFailure, False),
        ("DATA_LOSS", "", errors.ServerFailure, False),
    ],
)
def test_the_kind_and_whether_to_try_again(code, details, kind, retryable):
    error = error_of(grpc.StatusCode[code], details, FACTS)
    assert type(error) is kind
    assert error.retryable is retryable


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ("Ssl handshake failed: SSL_ERROR_SSL: CERTIFICATE_VERIFY_FAILED: self signed", "trusted"),
        ("Tls handshake failed (TSI_PROTOCOL_FAILURE): certificate has expired", "has expired"),
        ("Tls handshake failed: SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER", "not speak"),
        ("Custom verification check failed: Hostname Verification Check failed.", "another host"),
        ("Peer name localhost is not in peer certificate", "another host"),
        ("Ssl handshake failed: something new", "handshake failed"),
    ],
)
def test_a_handshake_that_fails_is_named(details, said):
    error = error_of(grpc.StatusCode.UNAVAILABLE, f"failed to connect: {details}", FACTS)
    assert type(error) is errors.TlsError
    assert not error.retryable
    assert said in str(error)


def test_the_number_of_attempts_is_named_where_there_were_several():
    facts = CallFacts("host:8500", "recommender", 2.5, attempts=3)
    error = error_of(grpc.StatusCode.UNAVAILABLE, "", facts)
    assert error.attempts == 3
    assert "after 3 attempts" in str(error)
    assert "attempt" not in str(error_of(grpc.StatusCode.UNAVAILABLE, "", FACTS))


def test_the_deadline_is_named():
    assert "2.5 s" in str(error_of(grpc.StatusCode.DEADLINE_EXCEEDED, "", FACTS))


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = errors.__doc__ or ""
    for name in errors.__all__:
        assert name in drawn


def test_errors_survive_a_process_boundary():
    facts = CallFacts("host:8500", "recommender", 2.5, attempts=2)
    error = error_of(grpc.StatusCode.UNAVAILABLE, "gone", facts)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.address, again.server_message) == (str(error), "host:8500", "gone")
    assert again.attempts == 2
