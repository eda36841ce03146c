"""Settings are checked when they are made, and reach the connection."""

from __future__ import annotations

import grpc
import grpc.aio
import numpy as np
import pytest
from serving_clients import Blocking, predicted

from dualtower.errors import UsageError
from dualtower_clients import (
    BalancePolicy,
    CallPolicy,
    ChannelSettings,
    HedgePolicy,
    RequestError,
    RetryPolicy,
    ServerUnreachable,
    ServingClient,
)

PREDICT = "/tensorflow.serving.PredictionService/Predict"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RetryPolicy(max_attempts=0), "max_attempts must be more than 0, got 0"),
        (lambda: RetryPolicy(initial_pause_s=float("nan")), "initial_pause_s must be"),
        (lambda: RetryPolicy(max_pause_s=float("inf")), "max_pause_s must be"),
        (lambda: RetryPolicy(attempt_timeout_s=-1), "attempt_timeout_s must be"),
        (lambda: RetryPolicy(throttle_ratio=2), "throttle_ratio must be above 0 and at most 1"),
        (lambda: HedgePolicy(percentile=0), "percentile must be above 0 and at most 100, got 0"),
        (lambda: HedgePolicy(max_extra=1.5), "max_extra must be"),
        (
            lambda: BalancePolicy(pick="random"),
            "pick must be one of least_outstanding, round_robin",
        ),
        (lambda: BalancePolicy(eject_after=0), "eject_after must be"),
        (lambda: ChannelSettings(compression="zip"), "compression must be one of none, gzip"),
        (lambda: ChannelSettings(keep_alive_s=0), "keep_alive_s must be more than 0"),
        (lambda: ChannelSettings(max_receive_bytes=-1), "max_receive_bytes must be"),
        (lambda: ChannelSettings(metadata=[("Key", "a")]), "'Key' is no key"),
        (lambda: ChannelSettings(metadata=[("key", b"a")]), "must be str, got b'a'"),
        (lambda: ChannelSettings(metadata=[("key-bin", "a")]), "must be bytes, got 'a'"),
        (lambda: ChannelSettings(metadata=[("key", "é")]), "'key-bin'"),
        (lambda: ServingClient([]), "empty list"),
        (lambda: ServingClient(["a:1", " "]), "got ' '"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_meant_is_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.parametrize("timeout_s", [float("nan"), float("inf")])
def test_a_deadline_that_is_none_is_refused(server, client_of, timeout_s):
    with pytest.raises(UsageError, match="timeout_s must be a number"):
        client_of(server().address).predict("m", {}, timeout_s=timeout_s)


def test_metadata_of_the_client_and_of_a_call_arrive(server, client_of):
    one = server()
    client = client_of(one.address, settings=ChannelSettings(metadata=[("tenant", "a")]))
    client.predict("m", {}, metadata=[("request-id", "7"), ("trace-bin", b"\xff")])
    sent = one.calls[-1].metadata
    assert (sent["tenant"], sent["request-id"], sent["trace-bin"]) == ("a", "7", b"\xff")
    client.status("m")
    assert "request-id" not in one.calls[-1].metadata
    with pytest.raises(UsageError, match="is no key"):
        client.predict("m", {}, metadata=[("no key", "7")])


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
def test_requests_are_compressed_where_that_is_asked_for(server, client_of, compression):
    one = server()
    one.add_model("m", {"y": np.zeros(1000, np.float32)})
    client = client_of(one.address, settings=ChannelSettings(compression=compression))
    answered = client.predict("m", {"x": np.zeros(100_000, np.float32)})
    assert answered.outputs["y"].shape == (1000,)
    assert len(one.calls[0].request) > 400_000


def test_messages_above_the_clients_limits_are_refused_by_name(server, client_of):
    one = server()
    one.add_model("m", {"y": np.zeros(10_000, np.float32)})
    small = client_of(one.address, settings=ChannelSettings(max_receive_bytes=1000))
    with pytest.raises(RequestError, match="too large"):
        small.predict("m", {})
    small = client_of(one.address, settings=ChannelSettings(max_send_bytes=1000))
    with pytest.raises(RequestError, match="too large"):
        small.predict("m", {"x": np.zeros(10_000, np.float32)})
    assert predicted(one) == 1


def test_keep_alive_and_further_options_are_accepted(server, client_of):
    settings = ChannelSettings(keep_alive_s=60, options=[("grpc.primary_user_agent", "shop/1.0")])
    one = server()
    client_of(one.address, settings=settings).predict("m", {})
    assert one.calls[-1].metadata["user-agent"].startswith("shop/1.0")


class Counting(grpc.UnaryUnaryClientInterceptor):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def intercept_unary_unary(self, continuation, client_call_details, request):
        self.seen.append(client_call_details.method)
        return continuation(client_call_details, request)


class AsyncCounting(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self) -> None:
        self.seen: list[str] = []

    async def intercept_unary_unary(self, continuation, client_call_details, request):
        self.seen.append(client_call_details.method.decode())
        return await continuation(client_call_details, request)


@pytest.mark.parametrize(
    ("client", "interceptor"), [(ServingClient, Counting), (Blocking, AsyncCounting)]
)
def test_interceptors_see_each_attempt(server, client, interceptor):
    one, seeing = server(), interceptor()
    one.fail("UNAVAILABLE")
    settings = ChannelSettings(interceptors=[seeing])
    with client(one.address, settings=settings) as opened:
        with pytest.raises(ServerUnreachable):
            opened.predict("m", {})
        assert seeing.seen == [PREDICT] * 3
        one.heal()
        opened.predict("m", {})
    assert len(seeing.seen) == 4


class Broken(grpc.UnaryUnaryClientInterceptor):
    def intercept_unary_unary(self, continuation, client_call_details, request):
        raise KeyError("of the interceptor")


class AsyncBroken(grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation, client_call_details, request):
        raise KeyError("of the interceptor")


@pytest.mark.parametrize(
    ("client", "interceptor"), [(ServingClient, Counting), (Blocking, AsyncCounting)]
)
def test_interceptors_see_hedges(server, client, interceptor):
    one, seeing = server(), interceptor()
    settings = ChannelSettings(interceptors=[seeing])
    hedged = CallPolicy(hedge=HedgePolicy(min_observations=5))
    with client(one.address, settings=settings, policy=hedged, timeout_s=50) as opened:
        for _ in range(5):  # from the next one on a call may be hedged
            opened.predict("m", {})
        before = predicted(one)
        one.hold(calls=[0])
        assert opened.predict("m", {}).attempts == 2
        assert predicted(one) == before + 2 == len(seeing.seen)


@pytest.mark.parametrize("hedge", [None, HedgePolicy(min_observations=1)])
@pytest.mark.parametrize(
    ("client", "interceptor"), [(ServingClient, Broken), (Blocking, AsyncBroken)]
)
def test_an_interceptors_own_error_is_the_callers(server, client, interceptor, hedge):
    settings = ChannelSettings(interceptors=[interceptor()])
    with client(server().address, settings=settings, policy=CallPolicy(hedge=hedge)) as opened:
        with pytest.raises(KeyError, match="of the interceptor"):
            opened.predict("m", {})
        assert not opened._pool._traffic.balancer.outstanding


def test_telemetry_is_one_span_for_a_call_and_goes_on_at_the_server(server, client_of):
    trace = pytest.importorskip("opentelemetry.trace")
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    processor = pytest.importorskip("opentelemetry.sdk.trace.export").SimpleSpanProcessor
    spans = export.InMemorySpanExporter()
    if not isinstance(trace.get_tracer_provider(), sdk.TracerProvider):
        trace.set_tracer_provider(sdk.TracerProvider())
    trace.get_tracer_provider().add_span_processor(processor(spans))
    one = server()
    one.fail("UNAVAILABLE", "down")
    client = client_of(one.address, settings=ChannelSettings(telemetry=True))
    with pytest.raises(ServerUnreachable):
        client.predict("m", {})
    (span,) = spans.get_finished_spans()
    assert span.name == "tensorflow.serving.PredictionService/Predict"
    assert span.kind is trace.SpanKind.CLIENT
    assert not span.status.is_ok
    assert span.attributes["error.type"] == "ServerUnreachable"
    assert (span.attributes["dualtower.model"], span.attributes["dualtower.attempts"]) == ("m", 3)
    host, _, port = one.address.rpartition(":")
    answered_by = (span.attributes["server.address"], span.attributes["server.port"])
    assert answered_by == (host, int(port))
    assert span.attributes["rpc.grpc.status_code"] == grpc.StatusCode.UNAVAILABLE.value[0]
    identifier = f"{span.context.trace_id:032x}-{span.context.span_id:016x}"
    assert all(identifier in call.metadata["traceparent"] for call in one.calls)
