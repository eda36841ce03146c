"""Calls of gRPC's own client, sync and asyncio, and calls that no client of gRPC would make."""

from __future__ import annotations

import asyncio
import gzip
import threading

import grpc
import grpc.aio
import pytest
from http2_port import HEADERS, Peer, message, opened_port, with_path

from dualtower_clients.proto import tensor_pb2
from dualtower_serving.embedded import grpc_wire
from dualtower_serving.embedded.status import Code, StatusError

ECHO, WAIT, FAIL = "/t/Echo", "/t/Wait", "/t/Fail"


@pytest.fixture(scope="module")
def port():
    with opened_port() as opened:
        yield opened


@pytest.fixture
def channel(port):
    options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(port.address, options=options) as opened:
        yield opened


def asked(content: bytes) -> bytes:
    return tensor_pb2.TensorProto(tensor_content=content).SerializeToString()


def content_of(raw: bytes) -> bytes:
    return tensor_pb2.TensorProto.FromString(raw).tensor_content


def failure(channel, path: str, raw: bytes, **options) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(path)(raw, timeout=options.pop("timeout", 20), **options)
    return caught.value


@pytest.mark.parametrize("size", [0, 1, 16_379, 16_384, 65_536, 5_000_000])
def test_messages_of_all_sizes_go_both_ways(channel, size) -> None:
    content = (bytes(range(251)) * (size // 251 + 1))[:size]
    assert content_of(channel.unary_unary(ECHO)(asked(content), timeout=20)) == content


@pytest.mark.parametrize("packing", [grpc.Compression.Gzip, grpc.Compression.Deflate])
@pytest.mark.parametrize("size", [10_000, 3_000_000])
def test_packed_messages_are_understood(channel, packing, size) -> None:
    raw = asked(b"ab" * size)
    answer = channel.unary_unary(ECHO)(raw, timeout=20, compression=packing)
    assert content_of(answer) == b"ab" * size


def test_the_words_of_an_error_arrive_as_they_are(channel) -> None:
    error = failure(channel, FAIL, asked("日本 🦊 %41\t".encode()))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details() == "ä 50% \n日本 🦊 %41\t"


def test_long_words_are_cut(channel) -> None:
    details = failure(channel, FAIL, asked(b"x" * 20_000)).details()
    assert details.endswith("...TRUNCATED")
    assert len(details) < 1100


def test_a_method_that_is_not_there(channel) -> None:
    error = failure(channel, "/t/None", b"")
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert error.details() == "there is no method /t/None"


def test_bytes_that_are_no_message(channel) -> None:
    error = failure(channel, ECHO, b"\xff\xff\xff")
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == "the request's 3 bytes are no TensorProto"


def test_a_deadline_ends_the_call_at_both_sides(port, channel) -> None:
    before = port.cancelled
    error = failure(channel, WAIT, asked(b""), timeout=0.2)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    port.until(lambda: port.cancelled == before + 1)


def test_a_call_that_is_cancelled_ends_at_both_sides(port, channel) -> None:
    before = port.cancelled
    future = channel.unary_unary(WAIT).future(asked(b""), timeout=20)
    port.until(lambda: len(port.calls.running) == 1)
    future.cancel()
    port.until(lambda: port.cancelled == before + 1 and not port.calls.running)


def test_one_call_has_one_message(channel) -> None:
    stream = channel.stream_unary(ECHO)
    for count in (0, 2):
        with pytest.raises(grpc.RpcError) as caught:
            stream(iter([asked(b"x")] * count), timeout=20)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_message_above_the_limit_is_refused_by_its_first_bytes() -> None:
    with (
        opened_port(max_bytes=1000) as port,
        grpc.insecure_channel(port.address) as channel,
        Peer(port) as peer,
    ):
        error = failure(channel, ECHO, bytes(1001))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max (1001 vs. 1000)" in error.details()
        bomb = asked(bytes(100_000))
        error = failure(channel, ECHO, bomb, compression=grpc.Compression.Gzip)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        stream_id = peer.ask(HEADERS, None)
        peer.h2.send_data(stream_id, b"\0\x7f\xff\xff\xff")  # 2 GB are announced, and 5 bytes sent
        peer.flush()
        assert peer.answer(stream_id)[0]["grpc-status"] == "8"


def test_what_all_messages_hold_is_limited_and_one_alone_goes_through() -> None:
    with opened_port(held=100_000) as port, Peer(port) as peer:
        large = message(bytes(50_000))
        waiting = peer.ask(with_path(WAIT), large)
        port.until(lambda: len(port.calls.running) == 1)
        refused = peer.ask(HEADERS, message(bytes(60_000)))
        headers, _ = peer.answer(refused)
        assert headers["grpc-status"] == "8"
        assert "--max_in_flight_bytes" in headers["grpc-message"]
        port.release()
        peer.answer(waiting)
        assert len(peer.answer(peer.ask(HEADERS, message(bytes(60_000))))[1]) == 60_000


def test_answers_that_nobody_reads_count_as_well() -> None:
    with opened_port(held=100_000) as port, Peer(port, {4: 10}, widens=False) as peer:
        unread = peer.ask(HEADERS, message(bytes(60_000)))
        port.until(lambda: port.calls.held_bytes == len(message(bytes(60_000))))
        headers, _ = peer.answer(peer.ask(HEADERS, message(bytes(50_000))))
        assert headers["grpc-status"] == "8"
        peer.h2.reset_stream(unread)
        peer.flush()
        port.until(lambda: port.calls.held_bytes == 0)


def test_calls_beyond_the_limit_are_refused_at_once() -> None:
    with opened_port(max_calls=2) as port, grpc.insecure_channel(port.address) as channel:
        call = channel.unary_unary(WAIT)
        running = [call.future(asked(b"x"), timeout=20) for _ in range(2)]
        port.until(lambda: len(port.calls.running) == 2)
        error = failure(channel, ECHO, asked(b""))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "--max_open_calls" in error.details()
        port.release()
        assert [one.code() for one in running] == [grpc.StatusCode.OK] * 2


def test_calls_without_a_message_keep_nobody_out() -> None:
    with opened_port(max_calls=2) as port, Peer(port) as peer:
        for _ in range(50):
            peer.ask(HEADERS, None)
        assert peer.answer(peer.ask(HEADERS, message(b"x")))[1] == b"x"


def test_a_thousand_calls_at_once_on_one_connection() -> None:
    async def run(port) -> list[bytes]:
        async with grpc.aio.insecure_channel(port.address) as channel:
            call = channel.unary_unary(ECHO)
            return await asyncio.gather(
                *(call(asked(str(number).encode()), timeout=30) for number in range(1000))
            )

    with opened_port(max_calls=1000) as port:
        answers = asyncio.run(run(port))
    assert [content_of(one) for one in answers] == [str(n).encode() for n in range(1000)]


def test_twenty_threads_with_connections_of_their_own(port) -> None:
    wrong: list[object] = []

    def ask(seed: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(port.address, options=options) as channel:
            call = channel.unary_unary(ECHO)
            for number in range(50):
                content = f"{seed} {number}".encode() * 50
                if content_of(call(asked(content), timeout=20)) != content:
                    wrong.append((seed, number))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_port_in_the_file_system(tmp_path) -> None:
    with opened_port() as port:
        path = tmp_path / "grpc.sock"
        server = port.do(port.loop.create_unix_server(port.connection, str(path)))
        with grpc.insecure_channel(f"unix:{path}") as channel:
            assert content_of(channel.unary_unary(ECHO)(asked(b"x"), timeout=20)) == b"x"
        port.on_loop(server.close)


# what no client of gRPC sends


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(":method", "GET") if name == ":method" else (name, value) for name, value in HEADERS],
         "405"),
        ([("content-type", "text/html") if name == "content-type" else (name, value)
          for name, value in HEADERS], "415"),
        ([one for one in HEADERS if one[0] != "content-type"], "415"),
    ],
)  # fmt: skip
def test_what_is_no_call_is_answered_as_http(port, headers, status) -> None:
    with Peer(port) as peer:
        assert peer.answer(peer.ask(headers, message(b"x")))[0] == {":status": status}


@pytest.mark.parametrize(
    ("headers", "body", "code", "words"),
    [
        (with_path(ECHO, grpc_timeout="5"), message(b""), "13", "is no grpc-timeout"),
        (with_path(ECHO, grpc_timeout="999999999S"), message(b""), "13", "is no grpc-timeout"),
        (with_path(ECHO, grpc_timeout="0n"), message(b""), "4", "Deadline Exceeded"),
        (with_path(ECHO, grpc_encoding="br"), message(b""), "12", "packed by 'br'"),
        (HEADERS, b"", "12", "without a message"),
        (HEADERS, b"\0\0", "13", "within its message"),
        (HEADERS, message(b"abc")[:-1], "13", "within its message"),
        (HEADERS, message(b"abc") + b"\0", "12", "more than one message"),
        (HEADERS, b"\7" + message(b"")[1:], "13", "whose flag is 7"),
        (HEADERS, b"\1" + message(b"")[1:], "13", "without grpc-encoding"),
        (with_path(ECHO, grpc_encoding="gzip"), b"\1\0\0\0\2ab", "13", "is no gzip"),
        (with_path(ECHO, grpc_encoding="gzip"),
         b"\1\0\0\0\x0f" + gzip.compress(b"abc", mtime=0)[:15], "13", "cut off"),
    ],
)  # fmt: skip
def test_a_call_that_is_wrong_says_what_is(port, headers, body, code, words) -> None:
    with Peer(port) as peer:
        found, content = peer.answer(peer.ask(headers, body))
    assert found["grpc-status"] == code
    assert words in found["grpc-message"]
    assert content == b""


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_message_may_be_cut_anywhere(cut) -> None:
    body = message(b"abcde")
    incoming = grpc_wire.Incoming(100)
    incoming.add(body[:cut])
    incoming.add(body[cut:])
    assert incoming.end() == body[5:]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1H", 3600), ("2M", 120), ("3S", 3), ("40m", 0.04), ("50u", 5e-5), ("60n", 6e-8)],
)
def test_the_units_of_a_timeout(text, seconds) -> None:
    headers = [
        (name.encode(), value.encode()) for name, value in with_path(ECHO, grpc_timeout=text)
    ]
    assert grpc_wire.read_headers(headers).timeout_ns == pytest.approx(seconds * 1e9)


def test_unpacking_stops_at_the_limit() -> None:
    bomb = gzip.compress(bytes(50_000_000), mtime=0)
    with pytest.raises(StatusError, match="larger than max") as caught:
        grpc_wire.unpack(bomb, "gzip", 1000)
    assert caught.value.code == Code.RESOURCE_EXHAUSTED
