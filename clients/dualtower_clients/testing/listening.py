"""The gRPC side of a fake server: a port, and what becomes of a call that comes there."""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from dualtower.errors import UnavailableError
from dualtower_clients import _wire
from dualtower_clients._calls import INSTANCE_KEY
from dualtower_clients.errors import TensorError
from dualtower_clients.testing.answers import ANSWERS, seen
from dualtower_clients.testing.calls import Call
from dualtower_clients.testing.faults import Fault, Faults
from dualtower_clients.testing.health import CHECK, WATCH, Health
from dualtower_clients.testing.journal import Journal
from dualtower_clients.testing.models import Refusal, Shelf

__all__ = ["Answering", "Listener"]

_log = logging.getLogger(__name__)

_BIND_POLL_S = 0.05
_BIND_S = 5.0  # a port that was just left is free after a moment
_UNKNOWN_FIELD = 1000  # of no message
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # nobody else gets calls that are meant for this server
)


class Answering(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """What the server speaks; of anything else gRPC says that it is not implemented.

    call ─► journal ─► faults (delay, hold, refusal, bytes) ─► models, or health ─► answer

    Attributes:
        shelf, faults, health: what a test has set.
        journal: what came.
        stopping: calls end because the server does.
    """

    def __init__(self) -> None:
        self.shelf, self.faults, self.health = Shelf(), Faults(), Health()
        self.journal = Journal()
        self.stopping = False
        self._run = ""
        self.begin()

    def begin(self) -> None:
        """A further run of the server begins."""
        self._run = uuid.uuid4().hex

    @property
    def instance(self) -> str:
        """What answers name as the run of their server: another one once a model was exchanged."""
        return f"{self._run}-{self.shelf.exchanges}"

    def service(self, details: Any) -> grpc.RpcMethodHandler | None:
        path = details.method
        if path == WATCH:
            return grpc.unary_stream_rpc_method_handler(self._watch)
        if path != CHECK and path not in ANSWERS:
            return None
        return grpc.unary_unary_rpc_method_handler(
            lambda raw, context: self._answer(path, raw, context)
        )

    def _answer(self, path: str, raw: bytes, context: grpc.ServicerContext) -> bytes:
        visit = self._visit(path, raw, context)
        try:
            answer, instance = visit.faulty_answer(), self.instance
            if answer is None:
                answer, instance = self._right_answer(path, raw)
            context.send_initial_metadata(((INSTANCE_KEY, instance),))
            return answer + visit.padding()
        except (Refusal, DecodeError, TensorError) as error:
            _abort(context, error)
        except Exception as error:
            _log.exception("a function of the test failed in %s", visit.call)
            said = f"a function of the test raised {type(error).__name__}: {error}"
            _abort(context, Refusal("UNKNOWN", said))
        finally:
            visit.is_answered = True

    def _right_answer(self, path: str, raw: bytes) -> tuple[bytes, str]:
        """What the models say, and the run that says it; a test may exchange one meanwhile."""
        while True:
            instance = self.instance
            answer = self.health.check(raw) if path == CHECK else ANSWERS[path](raw, self.shelf)
            if instance == self.instance:
                return answer, instance

    def _watch(self, raw: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        visit = self._visit(WATCH, raw, context)
        try:
            answer = visit.faulty_answer()
            if answer is not None:
                yield answer
            context.add_callback(self.health.wake)
            for said in self.health.watch(raw, context.is_active):
                yield said + visit.padding()
        except (Refusal, DecodeError) as error:
            visit.is_answered = True
            _abort(context, error)

    def _visit(self, path: str, raw: bytes, context: grpc.ServicerContext) -> _Visit:
        """Writes the call down, and waits as long as its faults say, or its client does."""
        timeout_s = context.time_remaining()
        call = dataclasses.replace(
            seen(path.rpartition("/")[2], raw),
            metadata=dict(context.invocation_metadata()),
            timeout_s=timeout_s,
            request=raw,
        )
        visit = _Visit(call, self.faults.of(call))

        def end() -> None:
            visit.ended.set()
            if not visit.is_answered and not self.stopping:
                self.journal.gave_up(call)

        self.journal.came(call)
        if not context.add_callback(end):  # gone already
            end()
        visit.wait()
        return visit


@dataclass
class _Visit:
    """A call, what it meets, and whether it is over.

    Attributes:
        ended: set when the call is over, by whomever.
        is_answered: by the server, so that its end is no wish of the client.
    """

    call: Call
    met: Sequence[Fault]
    ended: threading.Event = field(default_factory=threading.Event)
    is_answered: bool = False

    def wait(self) -> None:
        """First all delays, then until the test lets it go on."""
        delay_s = sum(fault.delay_s for fault in self.met)
        if delay_s > 0:
            self.ended.wait(None if math.isinf(delay_s) else delay_s)
        for fault in self.met:
            if fault.hold is not None:
                fault.hold.keep(str(self.call), self.ended)

    def faulty_answer(self) -> bytes | None:
        """What comes in place of the right answer, if anything does."""
        for fault in self.met:
            if fault.refusal is not None:
                raise fault.refusal
            if fault.answer is not None:
                return fault.answer(self.call) if callable(fault.answer) else fault.answer
        return None

    def padding(self) -> bytes:
        """A field of the message that no reader knows, so that it skips it."""
        size_bytes = sum(fault.extra_bytes for fault in self.met)
        if size_bytes <= 0:
            return b""
        return _wire.delimited(_UNKNOWN_FIELD, size_bytes) + bytes(size_bytes)


class Listener:
    """A port where `answering` answers, which may be closed and opened again.

    Args:
        answering: what calls come to.
        host: an address of this machine, or a name of one.
        port: 0 takes a free one.
        credentials: for TLS.
        threads: calls at a time.

    Attributes:
        port: the same from the first time on.
    """

    def __init__(
        self,
        answering: Answering,
        *,
        host: str,
        port: int,
        credentials: grpc.ServerCredentials | None,
        threads: int,
    ) -> None:
        self.port = port
        self._answering, self._threads = answering, threads
        self._host = "127.0.0.1" if host == "localhost" else host
        self._credentials = credentials
        self._was_bound = False
        self._running: tuple[grpc.Server, futures.Executor] | None = None

    def start(self) -> None:
        """Listens, if it does not yet.

        Raises:
            UnavailableError: the port is taken.
        """
        deadline_s = time.monotonic() + (_BIND_S if self._was_bound else 0)
        while self._running is None:
            self._answering.begin()
            threads = futures.ThreadPoolExecutor(self._threads, thread_name_prefix="fake-server")
            server = grpc.server(threads, handlers=(self._answering,), options=_OPTIONS)
            try:
                self.port = self._bind(server)
            except RuntimeError as error:
                if time.monotonic() > deadline_s:
                    raise UnavailableError(
                        f"port {self.port} is taken ({error}); give port=0 for a free one"
                    ) from error
                time.sleep(_BIND_POLL_S)
                continue
            self._was_bound = True
            server.start()
            self._answering.stopping = False
            self._running = server, threads

    def stop(self) -> None:
        """Breaks all connections."""
        running, self._running = self._running, None
        if running is not None:
            server, threads = running
            self._answering.stopping = True
            server.stop(None).wait()
            threads.shutdown()

    def _bind(self, server: grpc.Server) -> int:
        where = f"{self._host}:{self.port}"
        if self._credentials is None:
            return int(server.add_insecure_port(where))
        return int(server.add_secure_port(where, self._credentials))


def _abort(context: grpc.ServicerContext, error: Exception) -> NoReturn:
    if isinstance(error, Refusal):
        context.abort(error.code, error.message)
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    raise AssertionError("abort raises") from error
