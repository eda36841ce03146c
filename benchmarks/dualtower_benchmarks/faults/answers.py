"""Faults of what comes back: too large, no message, no gRPC, the wrong TLS."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from dualtower.errors import UnavailableError
from dualtower_benchmarks.faults.kinds import Kind, Load, Question
from dualtower_benchmarks.faults.load import fire
from dualtower_benchmarks.faults.question import SUM
from dualtower_benchmarks.faults.row import Row, together
from dualtower_benchmarks.faults.servers import started
from dualtower_benchmarks.faults.sizes import Sizes
from dualtower_clients import ChannelSettings, TlsSettings

__all__ = ["garbage", "oversized", "wrong_tls"]

_LIMIT_BYTES, _LARGE_BYTES = 1 << 20, 8 << 20  # gRPC's own limit lies between: 4 MiB
_LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)


def oversized(kind: Kind, sizes: Sizes) -> list[Row]:
    """A third of the answers has 8 MiB: within the client's limit, and above it."""
    limits: dict[str, int | None] = {
        "answers of 8 MiB, no limit": None,
        "answers of 8 MiB, limit 1 MiB": _LIMIT_BYTES,
    }
    rows = []
    with ExitStack() as stack:
        (server,) = started(stack, {})
        server.do("swell", extra_bytes=_LARGE_BYTES, share=1 / 3)
        for fault, limit_bytes in limits.items():
            settings = ChannelSettings(max_receive_bytes=limit_bytes)
            row = fire(
                fault,
                kind,
                _opener(kind, server.address, settings),
                SUM,
                Load(callers=4, timeout_s=5.0, calls=8 * sizes.rounds),
                servers="a fake",
            )
            refused = {"RequestError": row.failed.get("RequestError", 0)} if limit_bytes else {}
            rows.append(replace(row, proofs=refused))
    return rows


def garbage(kind: Kind, sizes: Sizes) -> list[Row]:
    """Bytes that are no message in half of the answers; bytes that are no HTTP/2 at all."""
    with ExitStack() as stack:
        server, noise = started(stack, {}, {"kind": "garbage"})
        server.do("garble", share=0.5)
        messages = fire(
            "garbage in place of messages",
            kind,
            _opener(kind, server.address, ChannelSettings()),
            SUM,
            Load(callers=8, timeout_s=2.0, calls=20 * sizes.rounds),
            servers="a fake",
        )
        messages = replace(messages, proofs={"refused": messages.failed.get("ResponseError", 0)})
        wire = fire(
            "garbage in place of HTTP/2",
            kind,
            _opener(kind, noise.address, ChannelSettings()),
            SUM,
            Load(callers=8, timeout_s=1.0, calls=2 * sizes.rounds),
            servers="a noisy socket",
        )
        wire = replace(wire, proofs={"connections": noise.do("count")})
    return [messages, wire]


def wrong_tls(kind: Kind, sizes: Sizes) -> list[Row]:
    """Five ways in which the two ends do not go together; any answer is a wrong one."""
    never = Question(SUM.ask, lambda answer, number: False)
    rows = []
    with ExitStack() as stack:
        cases = _tls_cases()
        servers = started(stack, *(job for job, _ in cases.values()))
        for (_, settings), server in zip(cases.values(), servers, strict=True):
            rows.append(
                fire(
                    "wrong TLS, five cases",
                    kind,
                    _opener(kind, server.address, settings),
                    never,
                    Load(callers=2, timeout_s=5.0, calls=1 + sizes.rounds),
                    servers="fakes with TLS",
                )
            )
    row = together(rows)
    return [replace(row, proofs={"TlsError": row.failed.get("TlsError", 0)})]


def _opener(kind: Kind, address: str, settings: ChannelSettings) -> Callable[[], Any]:
    return lambda: kind.serving(address, settings=settings)


def _tls_cases() -> dict[str, tuple[Mapping[str, Any], ChannelSettings]]:
    """A server's job, and how the client connects."""
    try:
        import trustme
    except ModuleNotFoundError as error:
        raise UnavailableError(
            "the fault 'wrong TLS' makes certificates with trustme, which is not installed; "
            "run: pip install trustme, or name other faults with --only"
        ) from error
    authority, stranger = trustme.CA(), trustme.CA()

    def served(host: str, **changes: Any) -> dict[str, Any]:
        leaf = authority.issue_cert(host, **changes)
        texts = leaf.private_key_pem.bytes(), leaf.cert_chain_pems[0].bytes()
        return {"tls": [text.decode() for text in texts]}

    def trusting(one: Any) -> ChannelSettings:
        return ChannelSettings(tls=TlsSettings(root_certificates=one.cert_pem.bytes()))

    right = served("127.0.0.1")
    return {
        "unknown authority": (right, trusting(stranger)),
        "another host": (served("models.example.org"), trusting(authority)),
        "expired": (served("127.0.0.1", not_after=_LONG_AGO), trusting(authority)),
        "plain to TLS": (right, ChannelSettings()),
        "TLS to plain": ({}, trusting(authority)),
    }
