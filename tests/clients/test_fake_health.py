"""What readiness probes ask a fake server, in the words of gRPC's own health protocol."""

from __future__ import annotations

import contextlib

import grpc
import pytest

from dualtower.errors import UsageError
from dualtower_clients.proto.server_config_pb2 import HealthCheckRequest, HealthCheckResponse
from dualtower_clients.testing import FakeServer

SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3  # grpc/health/v1/health.proto
NAMES = ("", "ModelService", "PredictionService")


@pytest.fixture(scope="module")
def running():
    with FakeServer() as one, grpc.insecure_channel(one.address) as channel:
        yield one, channel


@pytest.fixture
def server(running):
    running[0].heal()
    return running[0]


@pytest.fixture
def check(running):
    call = running[1].unary_unary("/grpc.health.v1.Health/Check")
    return lambda service="", **options: status_of(call(asking(service), timeout=20, **options))


@pytest.fixture
def watch(running):
    """Opens a stream of answers, which a test reads one by one."""
    with contextlib.ExitStack() as stack:

        def open_stream(service: str = ""):
            stream = running[1].unary_stream("/grpc.health.v1.Health/Watch")(asking(service))
            stack.callback(stream.cancel)
            return map(status_of, stream)

        yield open_stream


def asking(service: str) -> bytes:
    return HealthCheckRequest(service=service).SerializeToString()


def status_of(raw: bytes) -> int:
    return HealthCheckResponse.FromString(raw).status


@pytest.mark.parametrize("service", NAMES)
def test_it_serves_whatever_becomes_of_its_models(server, check, service):
    assert check(service) == SERVING
    server.add_model("m", {"y": [1]})
    server.set_state("m", 1, "LOADING")
    assert check(service) == SERVING, "as TensorFlow Serving says"


def test_other_names_are_not_found(server, check):
    for service in ("tensorflow.serving.PredictionService", "m"):
        with pytest.raises(grpc.RpcError) as caught:
            check(service)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_it_is_made_to_serve_no_more_and_heals(server, check):
    server.set_health("NOT_SERVING", service="ModelService")
    assert [check(name) for name in NAMES] == [SERVING, NOT_SERVING, SERVING]
    server.set_health("NOT_SERVING")
    assert [check(name) for name in NAMES] == [NOT_SERVING] * 3
    server.heal()
    assert [check(name) for name in NAMES] == [SERVING] * 3


def test_a_check_meets_faults_and_is_written_down(server, check):
    server.calls.clear()
    server.fail("UNAVAILABLE", "starting", method="Check", calls=[0])
    with pytest.raises(grpc.RpcError, match="starting"):
        check()
    assert check() == SERVING
    assert [call.method for call in server.calls] == ["Check", "Check"]


def test_who_watches_learns_of_each_change(server, watch):
    one, other = watch(), watch("ModelService")
    assert (next(one), next(other)) == (SERVING, SERVING)
    server.set_health("NOT_SERVING", service="")
    assert next(one) == NOT_SERVING
    server.set_health("UNKNOWN", service="ModelService")
    assert next(other) == 0
    server.heal()
    assert (next(one), next(other)) == (SERVING, SERVING)


def test_who_watches_an_unknown_service_is_told_so_and_goes_on(server, watch):
    stream = watch("nobody")
    assert next(stream) == SERVICE_UNKNOWN
    server.set_health("NOT_SERVING")
    known = watch()
    assert next(known) == NOT_SERVING, "of the unknown one there is still nothing to say"


def test_a_watch_may_be_refused(server, watch):
    server.fail("UNIMPLEMENTED", "no", method="Watch")
    with pytest.raises(grpc.RpcError, match="no"):
        next(watch())


def test_a_server_that_stops_ends_its_watchers():
    with FakeServer() as one, grpc.insecure_channel(one.address) as channel:
        stream = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
        assert status_of(next(stream)) == SERVING
        one.stop()
        with pytest.raises(grpc.RpcError):
            next(stream)
        assert not one.abandoned


def test_who_goes_away_frees_its_thread():
    with FakeServer(threads=1) as one, grpc.insecure_channel(one.address) as channel:
        for _ in range(3):
            stream = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
            assert status_of(next(stream)) == SERVING
            stream.cancel()
        one.wait_for_abandoned(3, method="Watch")


def test_grpcs_own_words_are_understood():
    """The messages of grpcio-health-checking, where it is installed, say the same."""
    health_pb2 = pytest.importorskip("grpc_health.v1.health_pb2")
    health_pb2_grpc = pytest.importorskip("grpc_health.v1.health_pb2_grpc")
    with FakeServer() as one, grpc.insecure_channel(one.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="PredictionService")
        assert stub.Check(request).status == health_pb2.HealthCheckResponse.SERVING
        stream = stub.Watch(request)
        assert next(stream).status == health_pb2.HealthCheckResponse.SERVING
        one.set_health("NOT_SERVING")
        assert next(stream).status == health_pb2.HealthCheckResponse.NOT_SERVING
        stream.cancel()


@pytest.mark.parametrize(
    ("state", "service", "said"),
    [
        ("DOWN", None, "state must be one of SERVING, NOT_SERVING, UNKNOWN"),
        ("SERVING", "m", "service must be one of '', 'ModelService', 'PredictionService'"),
    ],
)
def test_wrong_use_is_named(server, state, service, said):
    with pytest.raises(UsageError, match=said):
        server.set_health(state, service=service)
