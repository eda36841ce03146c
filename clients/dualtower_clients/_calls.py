"""The methods of the two services, and gRPC's failures as our errors. Pure: no channel here."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from dualtower_clients import errors

__all__ = ["METADATA", "PREDICT", "RELOAD", "STATUS", "CallFacts", "error_of"]

PREDICT = "/tensorflow.serving.PredictionService/Predict"
METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"

# texts of TensorFlow Serving and of gRPC that mean something else than their code does elsewhere
_QUEUE_FULL = "queue to which this task was submitted is full"
_TOO_LARGE = "message larger than max"


@dataclass(frozen=True)
class CallFacts:
    """What an error message names: where, what, and how long was waited."""

    address: str
    model: str
    timeout_s: float


def error_of(code: grpc.StatusCode, details: str, facts: CallFacts) -> errors.ClientError:
    """The named error of a call that ended with `code`, with what to do next."""
    kind, explanation, next_step = _explain(code, details, facts)
    words = f": {details}" if details else ""
    where = f"model {facts.model!r} at {facts.address}, {code.name}"
    return kind(
        f"{explanation} ({where}){words}; {next_step}",
        address=facts.address,
        model=facts.model,
        server_message=details,
    )


def _explain(
    code: grpc.StatusCode, details: str, facts: CallFacts
) -> tuple[type[errors.ClientError], str, str]:
    status = grpc.StatusCode
    if code is status.UNAVAILABLE and _QUEUE_FULL in details:
        return errors.ServerBusy, "the batching queue is full", "try again after a pause"
    if code is status.UNAVAILABLE:
        return (
            errors.ServerUnreachable,
            "no server answers, or the connection broke",
            "check the address, or start one with `dualtower serve BUNDLE`",
        )
    if code is status.DEADLINE_EXCEEDED:
        return (
            errors.DeadlineExceeded,
            f"no answer within {facts.timeout_s:g} s",
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
            "see what it has loaded with ServingClient.status(model)",
        )
    if code is status.UNIMPLEMENTED:
        return (
            errors.RequestError,
            "the server does not know this method",
            "is it a gRPC model server, and not its REST port?",
        )
    if code in (status.INVALID_ARGUMENT, status.FAILED_PRECONDITION, status.OUT_OF_RANGE):
        return (
            errors.RequestError,
            "the server refuses the request",
            "compare its inputs with ServingClient.metadata(model)",
        )
    if code in (status.UNAUTHENTICATED, status.PERMISSION_DENIED):
        return errors.AccessDenied, "access denied", "give the credentials this server wants"
    if code is status.CANCELLED:
        return errors.CallCancelled, "the call was cancelled", "open a new client"
    return errors.ServerFailure, "the server failed", "read the server's log"
