"""gRPC's health service as TensorFlow Serving has it: it knows short names, and no models.

It says SERVING of `""`, "ModelService" and "PredictionService" as long as the server listens,
whatever becomes of its models. A server of TensorFlow has it by a flag; a fake one always.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from dualtower.errors import UsageError
from dualtower_clients.proto.server_config_pb2 import HealthCheckRequest, HealthCheckResponse
from dualtower_clients.testing.models import Refusal

__all__ = ["CHECK", "WATCH", "Health"]

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"

_SERVICES = ("", "ModelService", "PredictionService")
_STATES = ("SERVING", "NOT_SERVING", "UNKNOWN")


class Health:
    """What is said of each service, which a test changes while somebody watches."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._state = dict.fromkeys(_SERVICES, "SERVING")

    def set(self, state: str, service: str | None) -> None:
        """Of one service, or of all."""
        if state not in _STATES:
            raise UsageError(f"state must be one of {', '.join(_STATES)}; got {state!r}")
        if service is not None and service not in _SERVICES:
            known = ", ".join(map(repr, _SERVICES))
            raise UsageError(f"service must be one of {known}, or None for all; got {service!r}")
        with self._changed:
            self._state.update(dict.fromkeys(_SERVICES if service is None else [service], state))
            self._changed.notify_all()

    def check(self, raw: bytes) -> bytes:
        """The answer of now.

        Raises:
            Refusal: nothing is known of this service.
        """
        service = HealthCheckRequest.FromString(raw).service
        with self._changed:
            if service not in self._state:
                raise Refusal("NOT_FOUND", f"no service {service!r}")
            return _said(self._state[service])

    def watch(self, raw: bytes, is_active: Callable[[], bool]) -> Iterator[bytes]:
        """The answer of now, and another one at each change, until the watcher is gone."""
        service = HealthCheckRequest.FromString(raw).service
        said = self._next(service, "", is_active)
        while said is not None:
            yield _said(said)
            said = self._next(service, said, is_active)

    def wake(self) -> None:
        """A watcher is gone."""
        with self._changed:
            self._changed.notify_all()

    def _next(self, service: str, said: str, is_active: Callable[[], bool]) -> str | None:
        """What is to be said after this, when it is time; None: nobody listens any more."""

        def state() -> str:
            return self._state.get(service, "SERVICE_UNKNOWN")

        with self._changed:
            self._changed.wait_for(lambda: state() != said or not is_active())
            return state() if is_active() else None


def _said(state: str) -> bytes:
    return HealthCheckResponse(status=state).SerializeToString()
