"""A span of OpenTelemetry for each call, where it is installed and asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from dualtower.errors import UnavailableError
from dualtower_clients._operations import Operation
from dualtower_clients._traffic import CallPlan
from dualtower_clients.errors import ClientError
from dualtower_clients.settings import ChannelSettings, Metadata

__all__ = ["span", "tracer_of"]


def tracer_of(settings: ChannelSettings) -> Any:
    """OpenTelemetry's tracer; None where telemetry is off.

    Raises:
        UnavailableError: it is on, and the package is not installed.
    """
    if not settings.telemetry:
        return None
    try:
        trace = import_module("opentelemetry.trace")
    except ImportError as error:
        raise UnavailableError(
            "ChannelSettings(telemetry=True) needs OpenTelemetry; "
            "run `pip install opentelemetry-api`"
        ) from error
    return trace.get_tracer("dualtower_clients")


@contextmanager
def span(tracer: Any, operation: Operation[Any], plan: CallPlan) -> Iterator[Metadata]:
    """A span around a call; gives the metadata by which the server's span finds its parent."""
    if tracer is None:
        yield ()
        return
    trace, propagate = (
        import_module("opentelemetry.trace"),
        import_module("opentelemetry.propagate"),
    )
    service, _, method = operation.method.lstrip("/").partition("/")
    attributes = {
        "rpc.system": "grpc",
        "rpc.service": service,
        "rpc.method": method,
        "dualtower.model": operation.model,
    }
    with tracer.start_as_current_span(
        f"{service}/{method}", kind=trace.SpanKind.CLIENT, attributes=attributes
    ) as current:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        try:
            yield tuple(carrier.items())
        except ClientError as error:
            current.set_attribute("error.type", type(error).__name__)
            raise
        finally:
            for name, value in plan.span_attributes().items():
                current.set_attribute(name, value)
