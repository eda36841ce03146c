"""A gRPC port that is sent frames of all kinds, whole, changed, cut off and in any order.

In the long form DUALTOWER_FUZZ_MESSAGES says how many connections are made.
"""

from __future__ import annotations

import os
import random
import socket

import hpack
from hpack import NeverIndexedHeaderTuple
from http2_port import HEADERS, Peer, message, opened_port, with_path

from dualtower_serving.embedded import http2_frames as http2
from dualtower_serving.embedded.http2_limits import Http2Limits

CONNECTIONS = int(os.environ.get("DUALTOWER_FUZZ_MESSAGES", "300"))
LIMITS = Http2Limits(
    streams=8, handshake_timeout_s=1.0, message_timeout_s=1.0, send_timeout_s=1.0, header_bytes=4096
)


def test_anything_may_come_in_frames() -> None:
    chance = random.Random(9)
    with opened_port(LIMITS, max_calls=16, max_bytes=100_000, held=1_000_000) as port:
        port.release()
        for number in range(CONNECTIONS):
            with socket.create_connection(("127.0.0.1", port.port), timeout=20) as sock:
                send(sock, chance)
            if number % 100 == 0:
                with Peer(port) as peer:
                    assert peer.answer(peer.ask(HEADERS, message(b"x")))[1] == b"x"
        port.until(lambda: not port.shared.connections and not port.calls.running)
        assert port.calls.held_bytes == 0
        with Peer(port) as peer:
            assert peer.answer(peer.ask(HEADERS, message(b"last")))[1] == b"last"


def send(sock: socket.socket, chance: random.Random) -> None:
    greeting = http2.PREFACE + http2.settings({}) if chance.random() < 0.9 else http2.PREFACE
    data = bytearray(greeting + b"".join(frames(chance)))
    for _ in range(chance.choice((0, 0, 1, 3))):  # bytes that are changed
        data[chance.randrange(len(data))] = chance.randrange(256)
    if chance.random() < 0.2:
        del data[chance.randrange(len(data)) :]
    try:
        for begin in range(0, len(data), 3000):
            sock.sendall(data[begin : begin + 3000])
        if chance.random() < 0.3:
            sock.recv(65_536)
    except (BrokenPipeError, ConnectionResetError):
        return


def frames(chance: random.Random) -> list[bytes]:
    """Some frames: most as they should be, in an order that need not be."""
    encoder, stream_id, made = hpack.Encoder(), -1, []
    for _ in range(chance.randrange(1, 30)):
        if chance.random() < 0.5:
            stream_id += 2
        known = max(1, stream_id - 2 * chance.choice((0, 0, 0, 1, 2)))
        made.append(chance.choice(KINDS)(chance, encoder, known))
    return made


def headers(chance: random.Random, encoder: hpack.Encoder, stream_id: int) -> bytes:
    path = chance.choice(("/t/Echo", "/t/Wait", "/t/Fail", "/t/None", "", "x" * 3000))
    more = chance.choice(({}, {"grpc_timeout": "1m"}, {"grpc_timeout": "x"}, {"x": "y" * 900}))
    if chance.random() < 0.3:
        more = {**more, "grpc_encoding": chance.choice(("gzip", "deflate", "br"))}
    block = encoder.encode([NeverIndexedHeaderTuple(*one) for one in with_path(path, **more)])
    flags = chance.choice((4, 4, 4, 5, 0, 0x24))
    return http2.frame(http2.HEADERS, flags, stream_id, bytes(block))


def data(chance: random.Random, encoder: hpack.Encoder, stream_id: int) -> bytes:
    size = chance.choice((0, 1, 100, 5_000, 16_000))
    body = chance.choice((message(bytes(size)), bytes(size), b"\1" + message(b"a")[1:]))
    return http2.frame(http2.DATA, chance.choice((1, 1, 1, 0, 8, 9)), stream_id, body)


def control(chance: random.Random, encoder: hpack.Encoder, stream_id: int) -> bytes:
    at = chance.choice((0, stream_id))
    return chance.choice(
        (
            http2.frame(http2.PING, chance.randrange(2), 0, bytes(8)),
            http2.settings({chance.randrange(8): chance.choice((0, 1, 9, 16_384, 1 << 31))}),
            http2.window_update(at, chance.choice((0, 1, 60_000, 1 << 30))),
            http2.reset(stream_id, 8),
            http2.go_away(stream_id, 0),
            http2.frame(http2.CONTINUATION, chance.choice((0, 4)), stream_id, b"\x83"),
            http2.frame(http2.PRIORITY, 0, stream_id, bytes(5)),
            http2.frame(chance.randrange(256), chance.randrange(256), at, chance.randbytes(9)),
        )
    )


KINDS = (headers, headers, data, data, data, control)
