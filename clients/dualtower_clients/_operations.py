"""The operations of a model server: what is sent, and how the answer is read. Pure.

arguments ─► Operation(method, request bytes, read) ─► a channel, of threads or asyncio
                                                read(reply, facts) ─► a result
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from dualtower.errors import UsageError
from dualtower_clients import _calls, _examples, _requests, _responses
from dualtower_clients._calls import CallFacts, Reply
from dualtower_clients._examples import Example, Task
from dualtower_clients._predict_bytes import Input
from dualtower_clients.proto import management_pb2
from dualtower_clients.results import (
    Classifications,
    ModelMetadata,
    Prediction,
    Regressions,
    VersionStatus,
)

__all__ = [
    "Operation",
    "check_single",
    "classify",
    "metadata",
    "multi_inference",
    "predict",
    "regress",
    "reload",
    "status",
]

T = TypeVar("T")


@dataclass(frozen=True)
class Operation(Generic[T]):
    """One request, ready to be sent.

    Attributes:
        method: its path in gRPC.
        model: that it is about; named in errors.
        request: its bytes.
        read: makes the result, or raises ResponseError.
        is_repeatable: whether it does no harm to send it twice.
    """

    method: str
    model: str
    request: bytes
    read: Callable[[Reply, CallFacts], T]
    is_repeatable: bool = True


def predict(
    model: str,
    inputs: Mapping[str, Input],
    *,
    signature: str,
    outputs: Iterable[str],
    version: int | None,
    label: str | None,
) -> Operation[Prediction]:
    """Predict."""
    spec = _requests.model_spec(model, version=version, label=label, signature=signature)
    request = _requests.predict(spec, inputs, outputs)
    return Operation(_calls.PREDICT, model, request, _responses.prediction)


def classify(
    model: str,
    examples: Sequence[Example],
    *,
    context: Example | None,
    signature: str,
    version: int | None,
    label: str | None,
) -> Operation[Classifications]:
    """Classify."""
    spec = _requests.model_spec(model, version=version, label=label, signature=signature)
    request = _examples.classification(spec, examples, context)
    return Operation(_calls.CLASSIFY, model, request, _responses.classifications)


def regress(
    model: str,
    examples: Sequence[Example],
    *,
    context: Example | None,
    signature: str,
    version: int | None,
    label: str | None,
) -> Operation[Regressions]:
    """Regress."""
    spec = _requests.model_spec(model, version=version, label=label, signature=signature)
    request = _examples.regression(spec, examples, context)
    return Operation(_calls.REGRESS, model, request, _responses.regressions)


def multi_inference(
    model: str,
    tasks: Mapping[str, Task],
    examples: Sequence[Example],
    *,
    context: Example | None,
    version: int | None,
    label: str | None,
) -> Operation[Mapping[str, Classifications | Regressions]]:
    """MultiInference."""
    specs = {
        name: _requests.model_spec(model, version=version, label=label, signature=name)
        for name in tasks
    }
    request = _examples.multi_inference(specs, tasks, examples, context)
    signatures = tuple(tasks)

    def read(reply: Reply, facts: CallFacts) -> Mapping[str, Classifications | Regressions]:
        return _responses.multi_inference(reply, facts, signatures)

    return Operation(_calls.MULTI_INFERENCE, model, request, read)


def metadata(model: str, *, version: int | None, label: str | None) -> Operation[ModelMetadata]:
    """GetModelMetadata."""
    request = _requests.metadata(_requests.model_spec(model, version=version, label=label))
    return Operation(_calls.METADATA, model, request, _responses.metadata)


def status(model: str, *, version: int | None) -> Operation[tuple[VersionStatus, ...]]:
    """GetModelStatus."""
    request = _requests.status(_requests.model_spec(model, version=version))
    return Operation(_calls.STATUS, model, request, _responses.status)


def check_single(addresses: Sequence[str]) -> None:
    """Refuses what only one server would get.

    Raises:
        UsageError: there are several addresses.
    """
    if len(addresses) > 1:
        raise UsageError(
            f"a reload goes to one server, and this client has {len(addresses)}: "
            f"{', '.join(addresses)}; make a client for each of them"
        )


def reload(config: management_pb2.ModelServerConfig) -> Operation[None]:
    """HandleReloadConfigRequest; a second one could undo what somebody did in between."""
    request = management_pb2.ReloadConfigRequest(config=config).SerializeToString()
    return Operation(_calls.RELOAD, "", request, lambda reply, facts: None, is_repeatable=False)
