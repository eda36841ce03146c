"""The REST port as a socket: good HTTP, broken HTTP, slow callers, and those that ask too much.

The service behind it is the real one, without a model: what is asked for is not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtower_serving.embedded.metrics import Metrics
from dualtower_serving.embedded.predict import AnswerSettings
from dualtower_serving.embedded.rest_front import RestFront
from dualtower_serving.embedded.rest_settings import RestLimits, RestSettings
from dualtower_serving.embedded.served_models import LoadRules, ServedModels
from dualtower_serving.embedded.service import ModelService

GET = b"GET /v1/models/m HTTP/1.1\r\nHost: x\r\n\r\n"
NOT_THERE = {"error": "Could not find any versions of model m"}
PATIENCE_S = 20


class Running:
    """A front on a loop of its own."""

    def __init__(self, settings: RestSettings) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.metrics = Metrics()
        self.port: int = self.run(self._start(settings))

    async def _start(self, settings: RestSettings) -> int:
        rules = LoadRules(retries=0, retry_pause_s=1)
        models: ServedModels = ServedModels(lambda *_: None, rules=rules, poll_s=0)
        service = ModelService(models, answers=AnswerSettings(), metrics=self.metrics)
        self.front = RestFront(service, settings, self.metrics)
        return await self.front.listen(0)

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)

    def stop(self) -> None:
        self.run(self.front.stop(0))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def connect(self, buffer_bytes: int = 0) -> socket.socket:
        opened = socket.socket()
        opened.settimeout(PATIENCE_S)
        if buffer_bytes:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        opened.connect(("127.0.0.1", self.port))
        return opened

    def exchange(self, sent: bytes) -> bytes:
        """All that comes back until the server closes."""
        with self.connect() as opened:
            with contextlib.suppress(ConnectionError):  # it may have had enough before the end
                opened.sendall(sent)
            return read_all(opened)

    def ask(self, verb: str, path: str, body: bytes | None = None, **headers: str):
        opened = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        opened.request(verb, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        answer = opened.getresponse()
        read = answer.read()
        opened.close()
        return answer, read


def read_all(opened: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := opened.recv(65536):
            parts.append(part)
    return b"".join(parts)


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def begin(settings: RestSettings | None = None, **limits: float) -> Running:
        started.append(Running(settings or RestSettings(limits=RestLimits(**limits))))
        return started[-1]

    yield begin
    for one in started:
        one.stop()


@pytest.fixture(scope="module")
def front(start) -> Running:
    return start(
        RestSettings(
            cors=True,
            metrics_path="/metrics",
            limits=RestLimits(body_bytes=5000, header_bytes=4096),
        )
    )


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:100]
    return int(answer.split()[1])


def test_answers_are_json_and_the_connection_stays(front: Running):
    with front.connect() as opened:
        for _ in range(3):
            opened.sendall(GET)
            answer = http.client.HTTPResponse(opened)
            answer.begin()
            assert answer.status == 404
            assert answer.headers["content-type"] == "application/json"
            assert json.loads(answer.read()) == NOT_THERE


def test_requests_in_one_packet_are_answered_in_their_order(front: Running):
    asked = [GET.replace(b"/m ", b"/m%d " % number) for number in range(20)]
    asked[-1] = asked[-1].replace(b"Host: x", b"Host: x\r\nConnection: close")
    answers = front.exchange(b"".join(asked)).split(b"HTTP/1.1 ")[1:]
    names = [json.loads(one.split(b"\r\n\r\n")[1])["error"].split()[-1] for one in answers]
    assert names == [f"m{number}" for number in range(20)]


def test_a_request_may_come_byte_by_byte(front: Running):
    with front.connect() as opened:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in GET:
            opened.sendall(bytes([byte]))
        assert status_of(opened.recv(65536)) == 404


def test_old_http_is_answered_and_closed(front: Running):
    assert status_of(front.exchange(b"GET /v1/models/m HTTP/1.0\r\n\r\n")) == 404


def test_chunks_and_expectations(front: Running):
    answer, read = front.ask("POST", "/v1/models/m:predict", iter([b"", b'{"a"', b":1}"]))
    assert (answer.status, json.loads(read)) == (
        404,
        {"error": "Servable not found for request: Latest(m)"},
    )
    with front.connect() as opened:
        opened.sendall(
            b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert opened.recv(65536).startswith(b"HTTP/1.1 100 ")
        opened.sendall(b"[]")
        assert b"JSON Value: [] Is not object" in opened.recv(65536)


def test_paths_verbs_and_headers(front: Running):
    answer, read = front.ask("GET", "/nope")
    assert (answer.status, answer.headers["content-type"]) == (404, "text/html")
    answer, read = front.ask("GET", "/v1/models/m?model=n")
    assert json.loads(read) == NOT_THERE
    for verb in ("PUT", "DELETE", "PATCH"):
        answer, read = front.ask(verb, "/v1/models/m")
        assert (answer.status, json.loads(read)) == (
            400,
            {"error": f"Malformed request: {verb} /v1/models/m"},
        )
    answer, read = front.ask("HEAD", "/v1/models/m")
    assert (answer.status, read) == (400, b"")
    answer, read = front.ask("GET", "/v1/models/m/versions/99999999999999999999")
    assert (answer.status, list(json.loads(read))) == (400, ["error"])


def test_cors(front: Running, start):
    answer, read = front.ask("OPTIONS", "/v1/models/m:predict", Origin="https://a.b")
    assert (answer.status, read) == (200, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "POST, GET"
    answer, _ = front.ask("OPTIONS", "/v1/models/m:predict")
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (400, "*")
    answer, _ = start().ask("GET", "/v1/models/m")
    assert answer.headers["access-control-allow-origin"] is None


def test_metrics_are_shown_where_they_are_wanted(front: Running, start):
    answer, page = front.ask("GET", "/metrics?x=1")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b':request_count{model_name="m",status="NOT_FOUND"} ' in page
    answer, page = front.ask("HEAD", "/metrics")
    assert (answer.status, page) == (200, b"")
    answer, _ = start().ask("GET", "/monitoring/prometheus/metrics")
    assert answer.status == 404


def test_compressed_bodies(front: Running):
    def predict(body: bytes, encoding: str) -> tuple[int, str]:
        answer, read = front.ask("POST", "/v1/models/m:predict", body, Content_Encoding=encoding)
        return answer.status, json.loads(read)["error"]

    packed = gzip.compress(b"[")
    assert predict(packed, "gzip")[1].startswith("JSON Parse error: Invalid value.")
    assert predict(packed + gzip.compress(b"]"), "GZIP") == (
        400,
        "JSON Value: [] Is not object",
    )
    assert predict(packed[:-3], "gzip")[1].startswith("the body is no gzip data")
    assert predict(b"[1]", "gzip")[1].startswith("the body is no gzip data")
    assert predict(b"[1]", "br") == (400, "Content-Encoding 'br' is not read; allowed: gzip")
    bomb = gzip.compress(b" " * 1_000_000)
    assert predict(bomb, "gzip") == (429, "the body unpacks to more than 5000 bytes")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\r\n\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6000\r\n\r\n" + b"x" * 6000, 413),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"400\r\n%s\r\n" % (b"x" * 1024) * 10,
            413,
        ),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000, 431),
        (b"GET /" + b"y" * 100_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000, 431),
    ],
)
def test_broken_http_is_refused_and_closed(front: Running, sent: bytes, status: int):
    answer = front.exchange(sent)
    assert status_of(answer) == status
    head, body = answer.split(b"\r\n\r\n")
    assert b"connection: close" in head
    assert list(json.loads(body)) == ["error"]
    assert front.ask("GET", "/v1/models/m")[0].status == 404


@given(st.binary(max_size=200), st.integers(0, len(GET)))
@settings(max_examples=100, deadline=None)
def test_garbage_hurts_nobody(front: Running, garbage: bytes, cut: int):
    with front.connect() as opened:
        opened.sendall(GET[:cut] + garbage)
        opened.shutdown(socket.SHUT_WR)
        read_all(opened)
    assert front.ask("GET", "/v1/models/m")[0].status == 404


def test_who_stops_in_the_middle_is_forgotten(front: Running):
    for sent in (b"GET /v1", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab"):
        with front.connect() as opened:
            opened.sendall(sent)
            opened.shutdown(socket.SHUT_WR)
            assert read_all(opened) == b""


def test_slow_callers_are_not_waited_for(start):
    running = start(header_timeout_s=0.2, body_timeout_s=0.2, idle_timeout_s=0.4)
    assert status_of(running.exchange(b"GET / HT")) == 408
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n"
    assert status_of(running.exchange(head + b"abc")) == 408
    assert running.exchange(b"") == b""
    assert status_of(running.exchange(GET)) == 404  # answered, then closed as idle


def test_connections_are_bounded(start):
    running = start(connections=3)
    opened = [running.connect() for _ in range(3)]
    for one in opened:
        one.sendall(GET)
        assert status_of(one.recv(65536)) == 404
    assert status_of(running.exchange(b"")) == 503
    opened.pop().close()
    while (
        status_of(running.exchange(GET.replace(b"Host: x", b"Host: x\r\nConnection: close"))) != 404
    ):
        pass
    for one in opened:
        one.close()


def test_bodies_on_their_way_are_bounded_together(start):
    running = start(total_body_bytes=1000, body_bytes=900)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n"
    with running.connect() as first:
        first.sendall(head + b"x" * 899)
        while b":rest_body_bytes 899" not in running.metrics.render():
            pass
        assert status_of(running.exchange(head + b"x" * 200)) == 503
        first.sendall(b"x")
        assert status_of(first.recv(65536)) == 404
    assert status_of(running.exchange(head.replace(b"Host: x", b"Host: x\r\nConnection: close")
                                      + b"x" * 900)) == 404  # fmt: skip


def test_who_does_not_read_is_not_worked_for(start):
    """Its requests stay in the sockets; nothing is lost when it reads after all."""
    running = start()
    asks = GET.replace(b"/m ", b"/%s " % (b"m" * 8000))
    batch, sent = asks * 20, 0
    with running.connect(buffer_bytes=16_384) as opened:
        opened.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while sent < 200_000_000:
                sent += opened.send(batch[sent % len(asks) :])
        assert sent < 200_000_000
        asked = running.metrics.value(":tensorflow:serving:request_count")
        assert asked < sent / len(asks)
        opened.settimeout(PATIENCE_S)
        opened.shutdown(socket.SHUT_WR)
        answers = read_all(opened).count(b"HTTP/1.1 404")
    assert answers >= asked - 1


def test_a_drained_front_answers_what_has_come_and_no_more(start):
    running = start()
    with running.connect() as idle, running.connect() as half:
        half.sendall(GET[:-2])
        while b":rest_connections 2" not in running.metrics.render():
            pass
        stopping = asyncio.run_coroutine_threadsafe(running.front.stop(PATIENCE_S), running.loop)
        assert read_all(idle) == b""
        half.sendall(GET[-2:])
        answer = read_all(half)
        assert status_of(answer) == 404
        assert b"connection: close" in answer.lower()
        half.close()
        stopping.result(PATIENCE_S)
    with pytest.raises(ConnectionRefusedError):
        running.connect()


def test_hundreds_of_idle_connections_are_no_burden(start):
    running = start()
    opened = [running.connect() for _ in range(500)]
    assert running.ask("GET", "/v1/models/m")[0].status == 404
    for one in opened[::100]:
        one.sendall(GET)
        assert status_of(one.recv(65536)) == 404
    for one in opened:
        one.close()
