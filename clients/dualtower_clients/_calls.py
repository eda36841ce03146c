"""The methods of the two services, how a call ends, and gRPC's failures as our errors. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import grpc

from dualtower_clients import _tls, errors

__all__ = [
    "CLASSIFY",
    "INSTANCE_KEY",
    "METADATA",
    "MULTI_INFERENCE",
    "PREDICT",
    "REGRESS",
    "RELOAD",
    "STATUS",
    "CallFacts",
    "Outcome",
    "Reply",
    "error_of",
    "instance_in",
    "kind_of",
    "worded",
]

PREDICT = "/tensorflow.serving.PredictionService/Predict"
CLASSIFY = "/tensorflow.serving.PredictionService/Classify"
REGRESS = "/tensorflow.serving.PredictionService/Regress"
MULTI_INFERENCE = "/tensorflow.serving.PredictionService/MultiInference"
METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"

# The embedded server and the FakeServer name their run by it, so that no answer of another one
# passes for theirs. The stock server does not: it takes more than a second to come back, by which
# it is known (see `_pair`).
INSTANCE_KEY = "dualtower-instance"

# texts of TensorFlow Serving and of gRPC that mean something else than their code does elsewhere
_QUEUE_FULL = "queue to which this task was submitted is full"
_TOO_LARGE = "message larger than max"
_UNKNOWN_LABEL = "Unrecognized servable version label"
_OF_RELOADS = {
    errors.RequestError: "compare the configuration with the server's own words, and its paths",
    errors.ModelNotFound: "compare the names and paths of the configuration",
    errors.DeadlineExceeded: "raise timeout_s: the server answers once all models are loaded",
}


@dataclass(frozen=True)
class CallFacts:
    """What an error message names: where, what, how long was waited, and how often it was sent."""

    address: str
    model: str
    timeout_s: float
    attempts: int = 0


@dataclass(frozen=True)
class Outcome:
    """How one attempt ended: with bytes, or with a code of gRPC and a text.

    `instance` is the run of the server that answered, where it names one.
    """

    raw: bytes | None
    code: grpc.StatusCode = grpc.StatusCode.OK
    details: str = ""
    instance: str = ""


@dataclass(frozen=True)
class Reply:
    """The bytes that answer a call, and how they came."""

    raw: bytes
    address: str
    attempts: int
    failures: int
    elapsed_ms: float
    instance: str = ""


def instance_in(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """The run of the server that says so in the metadata before its answer; "" where none does."""
    for key, value in metadata or ():
        if key == INSTANCE_KEY and isinstance(value, str):
            return value
    return ""


def kind_of(code: grpc.StatusCode, details: str) -> type[errors.ClientError]:
    """Which error a call that ended with `code` is; its type says whether to try again."""
    return _explain(code, details)[0]


def error_of(code: grpc.StatusCode, details: str, facts: CallFacts) -> errors.ClientError:
    """The named error of a call that ended with `code`, with what to do next."""
    kind, explanation, next_step = _explain(code, details, facts.timeout_s, facts.model)
    if not facts.model:  # a reload, which is about all of the server
        next_step = _OF_RELOADS.get(kind, next_step)
    return worded(kind, explanation, next_step, code, details, facts)


def worded(
    kind: type[errors.ClientError],
    explanation: str,
    next_step: str,
    code: grpc.StatusCode,
    details: str,
    facts: CallFacts,
) -> errors.ClientError:
    """The error in the words that all of them share."""
    words = f": {details}" if details else ""
    attempts = f" after {facts.attempts} attempts" if facts.attempts > 1 else ""
    asked = f"model {facts.model!r} at " if facts.model else ""
    where = f"{asked}{facts.address}, {code.name}{attempts}"
    return kind(
        f"{explanation} ({where}){words}; {next_step}",
        address=facts.address,
        model=facts.model,
        server_message=details,
        attempts=facts.attempts,
    )


def _explain(
    code: grpc.StatusCode, details: str, timeout_s: float = 0.0, model: str = "MODEL"
) -> tuple[type[errors.ClientError], str, str]:
    status = grpc.StatusCode
    if code is status.UNAVAILABLE and _QUEUE_FULL in details:
        return errors.ServerBusy, "the batching queue is full", "try again after a pause"
    if code is status.UNAVAILABLE and (said := _tls.explain_handshake(details)):
        return errors.TlsError, *said
    if code is status.UNAVAILABLE:
        return (
            errors.ServerUnreachable,
            "no server answers, or the connection broke",
            "check the address, or start one with `dualtower serve BUNDLE`",
        )
    if code is status.DEADLINE_EXCEEDED:
        return (
            errors.DeadlineExceeded,
            f"no answer within {timeout_s:g} s",
            "raise timeout_s, or send smaller batches",
        )
    if code is status.RESOURCE_EXHAUSTED and _TOO_LARGE in details:
        return errors.RequestError, "the message is too large", "send smaller batches"
    if code is status.RESOURCE_EXHAUSTED:
        return errors.ServerBusy, "the server is out of capacity", "try again after a pause"
    if code is status.NOT_FOUND:
        return (
            errors.ModelNotFound,
            "the server has no such model or version",
            "see what it has loaded with `dualtower status`, or, of models that are no bundle's, "
            f"with ServingClient.status({model!r})",
        )
    if code is status.UNIMPLEMENTED:
        return (
            errors.RequestError,
            "the server does not know this method",
            "is it a gRPC model server, and not its REST port?",
        )
    if _UNKNOWN_LABEL in details:
        return (
            errors.RequestError,
            "no version of the model has this label",
            "give another label=, or version=, or neither for the latest; labels are given to "
            "versions by the server's configuration, and by `dualtower rollout`",
        )
    if code in (status.INVALID_ARGUMENT, status.FAILED_PRECONDITION, status.OUT_OF_RANGE):
        return (
            errors.RequestError,
            "the server refuses the request",
            f"compare its inputs with ServingClient.metadata({model!r}), "
            f"or with `dualtower predict {model} --describe`",
        )
    if code in (status.UNAUTHENTICATED, status.PERMISSION_DENIED):
        return errors.AccessDenied, "access denied", "give the credentials this server wants"
    if code is status.CANCELLED:  # not by this client, which knows when it closes
        return (
            errors.ServerUnreachable,
            "the server gave the call up, as one does that stops",
            "try again, or read the server's log",
        )
    return errors.ServerFailure, "the server failed", "read the server's log"
