"""HTTP/2 against hyper's h2, which is strict, and against bytes that no peer should send."""

from __future__ import annotations

import re
import socket
import struct
import time

import h2.errors
import h2.events
import h2.settings
import hpack
import pytest
from hpack import NeverIndexedHeaderTuple
from http2_port import HEADERS, Peer, message, opened_port, with_path

from dualtower_serving.embedded import http2_frames as http2
from dualtower_serving.embedded.http2_limits import Http2Limits

INITIAL_WINDOW = int(h2.settings.SettingCodes.INITIAL_WINDOW_SIZE)
DATA_EVENT = h2.events.DataReceived
GREETING = http2.PREFACE + http2.settings({})


@pytest.fixture(scope="module")
def port():
    with opened_port() as opened:
        yield opened


# what a peer may expect


def test_an_answer_has_headers_a_message_and_trailers(port) -> None:
    with Peer(port) as peer:
        headers, content = peer.answer(peer.ask(HEADERS, message(b"hello")))
    assert content == b"hello"
    assert re.fullmatch("[0-9a-f]{32}", headers.pop("dualtower-instance"))
    assert headers == {
        ":status": "200",
        "content-type": "application/grpc",
        "grpc-accept-encoding": "identity,deflate,gzip",
        "grpc-status": "0",
    }


def test_an_error_is_one_block_of_headers(port) -> None:
    with Peer(port) as peer:
        stream_id = peer.ask(with_path("/t/Fail"), message(b"no"))
        headers, content = peer.answer(stream_id)
        assert not any(isinstance(one, h2.events.TrailersReceived) for one in peer.events)
    assert content == b""
    assert headers["grpc-status"] == "5"
    assert headers["grpc-message"] == "%C3%A4 50%25 %0Ano"


@pytest.mark.parametrize(("window", "size"), [(1, 100), (1000, 50_000), (65_535, 60_000)])
def test_a_body_waits_for_the_window_of_its_stream(port, window, size) -> None:
    content = bytes(range(256)) * 300
    with Peer(port, {INITIAL_WINDOW: window}) as peer:  # h2 raises where more comes
        _, answer = peer.answer(peer.ask(HEADERS, message(content[:size])))
    assert answer == content[:size]


def test_streams_take_turns_in_the_window_of_the_connection() -> None:
    with opened_port() as port, Peer(port, {INITIAL_WINDOW: 1 << 20}, widens=False) as peer:
        ids = [peer.ask(with_path("/t/Wait"), message(bytes(20_000))) for _ in range(3)]
        port.until(lambda: len(port.calls.running) == 3)
        third = peer.ask(with_path("/t/Wait"), message(bytes(5_000)))
        port.until(lambda: len(port.calls.running) == 4)
        port.release()  # 65,000 bytes and their prefixes fit, those of one more stream do not
        for stream_id in (*ids, third):
            assert len(peer.answer(stream_id)[1]) in (5_000, 20_000)
        last = [peer.ask(HEADERS, message(bytes(40_000))) for _ in range(2)]
        peer.h2.increment_flow_control_window(40_000)
        peer.flush()
        while (
            len({one.stream_id for one in peer.events if isinstance(one, DATA_EVENT)} & {*last}) < 2
        ):
            assert peer.read()
        peer.h2.increment_flow_control_window(60_000)
        peer.flush()
        assert {len(peer.answer(one)[1]) for one in last} == {40_000}


def test_a_window_may_be_made_smaller_than_what_is_on_its_way(port) -> None:
    with Peer(port, {INITIAL_WINDOW: 10_000}) as peer:
        stream_id = peer.ask(HEADERS, message(bytes(50_000)))
        peer.until(h2.events.DataReceived, stream_id)
        peer.h2.update_settings({INITIAL_WINDOW: 5_000})
        peer.flush()
        _, content = peer.answer(stream_id)
    assert content == bytes(50_000)


def test_requests_larger_than_the_windows_come_whole(port) -> None:
    content = bytes(range(256)) * 20_000  # 5 MB
    body = message(content)
    with Peer(port, {INITIAL_WINDOW: 1 << 24}) as peer:
        peer.h2.increment_flow_control_window(1 << 24)
        stream_id = peer.ask(HEADERS, None)
        place = 0
        while place < len(body):
            room = min(peer.h2.local_flow_control_window(stream_id), 16_384, len(body) - place)
            if not room:
                assert peer.read()
                continue
            peer.h2.send_data(stream_id, body[place : place + room])
            place += room
            peer.flush()
        peer.h2.end_stream(stream_id)
        peer.flush()
        _, answer = peer.answer(stream_id)
    assert answer == content


def test_padding_priority_and_headers_in_pieces_are_understood(port) -> None:
    headers = [*HEADERS, ("x-long", "x" * 9_000)]
    body = message(b"padded")
    with Peer(port) as peer:
        stream_id = peer.h2.get_next_available_stream_id()
        peer.h2.send_headers(stream_id, headers, priority_weight=20, priority_depends_on=0)
        peer.h2.send_data(stream_id, body[:7], pad_length=0)
        peer.h2.send_data(stream_id, body[7:], pad_length=200, end_stream=True)
        peer.flush()
        assert peer.answer(stream_id)[1] == b"padded"
    block = peer.h2.encoder.encode(HEADERS)
    pieces = http2.frame(http2.HEADERS, 0, 1, block[:5])
    pieces += http2.frame(http2.CONTINUATION, 0, 1, block[5:9])
    pieces += http2.frame(http2.CONTINUATION, http2.Flag.END_HEADERS, 1, block[9:])
    with raw(port, GREETING + pieces) as sock:
        sock.sendall(http2.frame(http2.DATA, http2.Flag.END_STREAM, 1, message(b"x")))
        assert http2.DATA in kinds(frames_of(sock, until=http2.DATA))


def test_a_request_may_come_byte_by_byte(port) -> None:
    with Peer(port) as peer:
        peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream_id = peer.h2.get_next_available_stream_id()
        peer.h2.send_headers(stream_id, HEADERS)
        peer.h2.send_data(stream_id, message(b"slow"), end_stream=True)
        for byte in peer.h2.data_to_send():
            peer.socket.sendall(bytes([byte]))
        assert peer.answer(stream_id)[1] == b"slow"


def test_a_ping_is_answered(port) -> None:
    with Peer(port) as peer:
        peer.h2.ping(b"12345678")
        peer.flush()
        assert peer.until(h2.events.PingAckReceived).ping_data == b"12345678"


# callers who leave, and too many of them


def test_a_stream_that_is_reset_is_not_computed_any_further(port) -> None:
    before = port.cancelled
    with Peer(port) as peer:
        stream_id = peer.ask(with_path("/t/Wait"), message(b""))
        port.until(lambda: len(port.calls.running) == 1)
        peer.h2.reset_stream(stream_id)
        peer.flush()
        port.until(lambda: not port.calls.running)
        assert port.cancelled == before + 1
        assert peer.answer(peer.ask(HEADERS, message(b"next")))[1] == b"next"


def test_nor_is_one_whose_connection_is_gone(port) -> None:
    before = port.cancelled
    with Peer(port) as peer:
        for _ in range(3):
            peer.ask(with_path("/t/Wait"), message(b""))
        port.until(lambda: len(port.calls.running) == 3)
    port.until(lambda: not port.calls.running and not port.shared.connections)
    assert port.cancelled == before + 3


def test_streams_beyond_the_limit_are_refused_and_may_be_tried_again() -> None:
    calls = call(1, "/t/Wait", b"a") + call(3, "/t/Wait", b"b") + call(5, "/t/Echo", b"c")
    with opened_port(Http2Limits(streams=2)) as port, raw(port, GREETING + calls) as sock:
        reader = http2.FrameReader()
        refused = frames_of(sock, until=http2.RST_STREAM, reader=reader)[-1]
        assert refused == (http2.RST_STREAM, struct.pack(">L", http2.ErrorCode.REFUSED_STREAM))
        port.release()
        assert http2.DATA in kinds(frames_of(sock, until=http2.DATA, reader=reader))
        port.until(lambda: not port.calls.running)
        sock.sendall(call(7, "/t/Echo", b"c"))
        assert http2.DATA in kinds(frames_of(sock, until=http2.DATA, reader=reader))


def test_connections_beyond_the_limit_are_closed() -> None:
    with opened_port(Http2Limits(connections=1)) as port, Peer(port) as peer:
        assert peer.answer(peer.ask(HEADERS, message(b"x")))[1] == b"x"
        with socket.create_connection(("127.0.0.1", port.port), timeout=20) as second:
            assert ended(second)


# the end


def test_at_the_end_running_calls_are_answered_and_new_ones_are_not() -> None:
    with opened_port() as port, raw(port, GREETING + call(1, "/t/Wait", b"a")) as sock:
        port.until(lambda: len(port.calls.running) == 1)
        port.on_loop(lambda: [one.drain() for one in list(port.shared.connections)])
        reader = http2.FrameReader()
        near = frames_of(sock, until=http2.PING, reader=reader)
        assert last_stream(near) == (1 << 31) - 1
        # a stream that was on its way when the peer heard of the end is answered
        sock.sendall(call(3, "/t/Echo", b"b") + ping_ack(near))
        assert last_stream(frames_of(sock, until=http2.GOAWAY, reader=reader)) == 3
        sock.sendall(call(5, "/t/Echo", b"c"))
        assert http2.RST_STREAM in kinds(frames_of(sock, until=http2.RST_STREAM, reader=reader))
        port.release()
        assert http2.DATA in kinds(frames_of(sock, reader=reader))


def test_a_peer_that_does_not_hear_of_the_end_is_not_waited_for() -> None:
    with opened_port() as port, raw(port, GREETING) as sock:
        frames_of(sock, until=http2.SETTINGS)
        port.until(lambda: len(port.shared.connections) == 1)
        port.on_loop(lambda: [one.drain() for one in list(port.shared.connections)])
        assert kinds(frames_of(sock)).count(http2.GOAWAY) == 2


# time


@pytest.mark.parametrize("sent", [b"", http2.PREFACE[:9], http2.PREFACE, GREETING[:30]])
def test_who_does_not_greet_is_cut_off(sent) -> None:
    with opened_port(Http2Limits(handshake_timeout_s=0.2)) as port, raw(port, sent) as sock:
        assert ended(sock)


def test_a_message_that_does_not_go_on_is_given_up() -> None:
    with opened_port(Http2Limits(message_timeout_s=0.2)) as port, Peer(port) as peer:
        stuck = peer.ask(HEADERS, None)
        reset = peer.until(h2.events.StreamReset, stuck)
        assert reset.error_code == h2.errors.ErrorCodes.CANCEL
        assert peer.answer(peer.ask(HEADERS, message(b"next")))[1] == b"next"


def test_an_answer_that_nobody_reads_is_given_up() -> None:
    limits = Http2Limits(send_timeout_s=0.3)
    with opened_port(limits) as port, Peer(port, {INITIAL_WINDOW: 10}, widens=False) as peer:
        peer.ask(HEADERS, message(bytes(1000)))
        while peer.read():
            pass
        port.until(lambda: not port.shared.connections)


def test_a_socket_that_nobody_reads_is_given_up() -> None:
    limits = Http2Limits(send_timeout_s=0.3)
    with opened_port(limits) as port, Peer(port, {INITIAL_WINDOW: 1 << 30}) as peer:
        peer.h2.increment_flow_control_window(1 << 30)
        peer.flush()
        large = message(bytes(900_000))
        for _ in range(20):  # more than the buffers of the system hold
            stream_id = peer.h2.get_next_available_stream_id()
            peer.h2.send_headers(stream_id, HEADERS)
            data = peer.h2.data_to_send()
            for begin in range(0, len(large), 16_384):
                data += http2.frame(http2.DATA, 0, stream_id, large[begin : begin + 16_384])
            data += http2.frame(http2.DATA, http2.Flag.END_STREAM, stream_id)
            try:
                peer.socket.sendall(data)
            except OSError:
                break
        port.until(lambda: not port.shared.connections)


def test_an_old_connection_is_asked_to_end() -> None:
    limits = Http2Limits(max_age_s=0.2)
    with opened_port(limits) as port, raw(port, GREETING + call(1, "/t/Wait", b"a")) as sock:
        reader = http2.FrameReader()
        frames_of(sock, until=http2.GOAWAY, reader=reader)
        port.release()
        assert http2.DATA in kinds(frames_of(sock, reader=reader))


def test_and_cut_off_when_its_grace_is_over() -> None:
    limits = Http2Limits(max_age_s=0.2, max_age_grace_s=0.2)
    with opened_port(limits) as port, raw(port, GREETING + call(1, "/t/Wait", b"a")) as sock:
        assert http2.DATA not in kinds(frames_of(sock))
        port.until(lambda: not port.calls.running)


def test_an_idle_connection_is_asked_to_end() -> None:
    with opened_port(Http2Limits(max_idle_s=0.2)) as port, raw(port, GREETING) as sock:
        assert http2.GOAWAY in kinds(frames_of(sock))


def test_a_peer_that_answers_no_ping_is_cut_off() -> None:
    limits = Http2Limits(keepalive_s=0.2, keepalive_timeout_s=0.2)
    with opened_port(limits) as port:
        with raw(port, GREETING) as silent:
            assert http2.PING in kinds(frames_of(silent))
        with Peer(port) as peer:
            for _ in range(3):
                peer.until(h2.events.PingReceived)
                peer.events.clear()
            assert peer.answer(peer.ask(HEADERS, message(b"x")))[1] == b"x"


# bytes that no peer should send

OPEN = http2.frame(http2.HEADERS, http2.Flag.END_HEADERS, 1, b"\x83\x86\x84")  # POST http /
HUGE = struct.pack(">HBBBL", 0xFFFF, 0xFF, http2.DATA, 0, 1)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", "PROTOCOL_ERROR"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "PROTOCOL_ERROR"),
        (http2.PREFACE + http2.frame(http2.PING, 0, 0, bytes(8)), "PROTOCOL_ERROR"),
        (GREETING + HUGE, "FRAME_SIZE_ERROR"),
        (GREETING + http2.frame(http2.SETTINGS, 0, 0, b"12345"), "FRAME_SIZE_ERROR"),
        (GREETING + http2.frame(http2.SETTINGS, 1, 0, bytes(6)), "FRAME_SIZE_ERROR"),
        (GREETING + http2.frame(http2.SETTINGS, 0, 1), "PROTOCOL_ERROR"),
        (GREETING + http2.settings({2: 2}), "PROTOCOL_ERROR"),
        (GREETING + http2.settings({4: 1 << 31}), "FLOW_CONTROL_ERROR"),
        (GREETING + http2.settings({5: 100}), "PROTOCOL_ERROR"),
        (GREETING + http2.frame(http2.PING, 0, 0, b"short"), "FRAME_SIZE_ERROR"),
        (GREETING + http2.frame(http2.PING, 0, 3, bytes(8)), "PROTOCOL_ERROR"),
        (GREETING + http2.frame(http2.PRIORITY, 0, 3, bytes(4)), "FRAME_SIZE_ERROR"),
        (GREETING + http2.frame(http2.PUSH_PROMISE, 4, 1, bytes(8)), "PROTOCOL_ERROR"),
        (GREETING + http2.frame(http2.DATA, 0, 0, b"x"), "PROTOCOL_ERROR"),
        (GREETING + http2.frame(http2.DATA, 0, 5, b"x"), "PROTOCOL_ERROR"),
        (GREETING + OPEN + http2.frame(http2.DATA, 8, 1, b"\x09x"), "PROTOCOL_ERROR"),
        (GREETING + OPEN + http2.frame(http2.DATA, 8, 1, b""), "FRAME_SIZE_ERROR"),
        (GREETING + http2.reset(7, 0), "PROTOCOL_ERROR"),
        (GREETING + http2.frame(http2.RST_STREAM, 0, 7, b"12"), "FRAME_SIZE_ERROR"),
        (GREETING + http2.window_update(0, 0), "PROTOCOL_ERROR"),
        (GREETING + http2.window_update(9, 1), "PROTOCOL_ERROR"),
        (GREETING + http2.window_update(0, (1 << 31) - 1), "FLOW_CONTROL_ERROR"),
        (GREETING + http2.frame(http2.HEADERS, 4, 2, b"\x83"), "PROTOCOL_ERROR"),
        (GREETING + http2.frame(http2.HEADERS, 4, 0, b"\x83"), "PROTOCOL_ERROR"),
        (GREETING + http2.frame(http2.HEADERS, 4, 1, b"\xff\xff\xff"), "COMPRESSION_ERROR"),
        (GREETING + http2.frame(http2.HEADERS, 0x24, 1, b"\x83"), "FRAME_SIZE_ERROR"),
        (GREETING + http2.frame(http2.HEADERS, 0, 1, b"\x83") + http2.settings({}),
         "PROTOCOL_ERROR"),
        (GREETING + http2.frame(http2.CONTINUATION, 4, 1, b"\x83"), "PROTOCOL_ERROR"),
        (GREETING + http2.frame(http2.HEADERS, 0, 1)
         + http2.frame(http2.CONTINUATION, 0, 1, bytes(9000)) * 2, "ENHANCE_YOUR_CALM"),
        # one name of 5,000 bytes is remembered, and then asked for four times
        (GREETING + http2.frame(http2.HEADERS, 4, 1, b"\x40\x01a\x7f\xf4\x1d" + b"v" * 3955
                                + b"\xbe" * 5), "ENHANCE_YOUR_CALM"),
    ],
)  # fmt: skip
def test_a_broken_protocol_ends_its_connection_and_says_why(port, sent, code) -> None:
    with raw(port, sent) as sock:
        goodbye = [payload for kind, payload in frames_of(sock) if kind == http2.GOAWAY]
    assert len(goodbye) == 1
    number = struct.unpack(">LL", goodbye[0][:8])[1]
    assert h2.errors.ErrorCodes(number).name == code
    port.until(lambda: not port.shared.connections)


def test_frames_for_streams_that_have_ended_here_are_let_pass(port) -> None:
    with Peer(port) as peer:
        stream_id = peer.ask(HEADERS, message(b"x"))
        peer.answer(stream_id)
        late = http2.window_update(stream_id, 5) + http2.reset(stream_id, 8)
        late += http2.frame(http2.DATA, 0, stream_id, b"late")
        late += http2.frame(77, 0, stream_id, b"of a kind that nobody knows")
        peer.socket.sendall(late)
        assert peer.answer(peer.ask(HEADERS, message(b"next")))[1] == b"next"


def test_acknowledgements_that_nobody_reads_are_bounded(port) -> None:
    pings = http2.frame(http2.PING, 0, 0, bytes(8)) * 10_000
    with raw(port, GREETING) as sock:
        sock.settimeout(20)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            flood(sock, pings)
    port.until(lambda: not port.shared.connections)


def flood(sock: socket.socket, data: bytes) -> None:
    for _ in range(1000):
        sock.sendall(data)


def raw(port, sent: bytes) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port.port), timeout=20)
    sock.sendall(sent)
    return sock


def frames_of(
    sock: socket.socket, until: int | None = None, reader: http2.FrameReader | None = None
) -> list[tuple[int, bytes]]:
    """Kinds and payloads of what comes, to the end or to a frame of this kind."""
    reader = reader or http2.FrameReader()
    found: list[tuple[int, bytes]] = []
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            data = sock.recv(65_536)
        except ConnectionError:
            return found
        if not data:
            return found
        found += [(one.kind, one.payload) for one in reader.feed(data)]
        if until in kinds(found):
            return found
    raise AssertionError(f"it goes on: {found}")


def kinds(frames: list[tuple[int, bytes]]) -> list[int]:
    return [kind for kind, _ in frames]


def last_stream(frames: list[tuple[int, bytes]]) -> int:
    payload = [payload for kind, payload in frames if kind == http2.GOAWAY][-1]
    return int.from_bytes(payload[:4], "big")


def ping_ack(frames: list[tuple[int, bytes]]) -> bytes:
    payload = next(payload for kind, payload in frames if kind == http2.PING)
    return http2.frame(http2.PING, http2.Flag.ACK, 0, payload)


def call(stream_id: int, path: str, content: bytes) -> bytes:
    block = hpack.Encoder().encode([NeverIndexedHeaderTuple(*one) for one in with_path(path)])
    return http2.frame(http2.HEADERS, http2.Flag.END_HEADERS, stream_id, block) + http2.frame(
        http2.DATA, http2.Flag.END_STREAM, stream_id, message(content)
    )


def ended(sock: socket.socket) -> bool:
    frames_of(sock)
    return True
