"""A gRPC server in this process whose models, faults and versions a test decides.

request ─► record ─► faults (delay, error, garbage) ─► answers ─► response
                                                         └ models: versions, labels, functions
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent import futures
from types import TracebackType
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from numpy.typing import ArrayLike

from dualtower.errors import UnavailableError
from dualtower_clients import _wire
from dualtower_clients.errors import TensorError
from dualtower_clients.testing.answers import ANSWERS, seen
from dualtower_clients.testing.calls import Call
from dualtower_clients.testing.faults import Fault, Faults, When
from dualtower_clients.testing.models import FakeModel, FakeSignature, Function, Refusal, Shelf
from dualtower_clients.testing.space import bundle_models

__all__ = ["FakeServer"]

_QUEUE_FULL = "The batch scheduling queue to which this task was submitted is full"
_BIND_POLL_S = 0.05
_GARBAGE = b"\xff\xff\xff\xff garbage"
_UNKNOWN_FIELD = 1000  # of no message
_BIND_S = 5.0  # a port that was just left is free after a moment
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # nobody else gets calls that are meant for this server
)


class FakeServer:
    """A model server for tests. It listens from the beginning, and until `stop` or `with` ends.

    Calls of the same moment run side by side. What a test changes counts from the next call on.

    Args:
        port: 0 takes a free one.
        credentials: of `grpc.ssl_server_credentials`, for TLS.
        threads: calls that may be under way at a time, the delayed ones included.

    Attributes:
        calls: what it was asked, in order.
        port: where it listens; the same after `restart`.

    Raises:
        UnavailableError: the port is taken.

    Example:
        with FakeServer() as server:
            server.add_model("half_plus_two", lambda inputs: {"y": inputs["x"] / 2 + 2})
            with ServingClient(server.address) as client:
                answer = client.predict("half_plus_two", {"x": np.float32([1.0, 2.0])})
            assert server.calls[0].inputs["x"].tolist() == [1.0, 2.0]
    """

    def __init__(
        self,
        *,
        port: int = 0,
        credentials: grpc.ServerCredentials | None = None,
        threads: int = 64,
    ) -> None:
        self.calls: list[Call] = []
        self.port = port
        self._credentials, self._threads = credentials, threads
        self._shelf, self._faults = Shelf(), Faults()
        self._lock = threading.Lock()
        self._was_bound = False
        self._running: tuple[grpc.Server, futures.Executor] | None = None
        self.start()

    @classmethod
    def with_bundle(
        cls,
        items: Mapping[str, str] | Sequence[str],
        *,
        dim: int = 16,
        version: int = 1,
        history_items: int = 20,
        k_max: int = 100,
        salt: str = "",
        port: int = 0,
        credentials: grpc.ServerCredentials | None = None,
    ) -> FakeServer:
        """A server with the three models of a bundle, as `add_bundle` makes them.

        Example:
            with FakeServer.with_bundle(["rye bread", "white bread", "oat milk"]) as server:
                with Recommender(server.address) as recommender:
                    assert recommender.recommend(["white bread"], k=1).item_ids == ("rye bread",)
        """
        server = cls(port=port, credentials=credentials)
        server.add_bundle(
            items, dim=dim, version=version, history_items=history_items, k_max=k_max, salt=salt
        )
        return server

    @property
    def address(self) -> str:
        """HOST:PORT, for a client."""
        return f"localhost:{self.port}"

    def add_model(
        self,
        name: str,
        what: Function | Mapping[str, ArrayLike] | FakeSignature | FakeModel,
        *,
        version: int = 1,
    ) -> None:
        """Loads a version of a model; the highest one answers who names none.

        Args:
            name: of the model.
            what: a function from arrays by alias to arrays by alias, or the arrays that it always
                answers; or signatures in full.
            version: replaced if it is there.
        """
        self._shelf.put(name, version, FakeModel.of(what))

    def add_bundle(
        self,
        items: Mapping[str, str] | Sequence[str],
        *,
        dim: int = 16,
        version: int = 1,
        history_items: int = 20,
        k_max: int = 100,
        salt: str = "",
        models: Collection[str] = ("user_tower", "item_tower", "recommender"),
    ) -> None:
        """Loads a version of a bundle. Its vectors are hashes of words; see `hash_vectors`.

        Args:
            items: the catalogue, texts by id; in a list the texts are the ids too.
            dim: length of a vector.
            version: of all three models.
            history_items: entries of a history that count.
            k_max: the longest list.
            salt: another one is another space, with another fingerprint.
            models: which of the three, for a rollout that is half done.
        """
        catalogue = items if isinstance(items, Mapping) else {text: text for text in items}
        made = bundle_models(
            catalogue,
            dim=dim,
            version=version,
            history_items=history_items,
            k_max=k_max,
            salt=salt,
        )
        for name in models:
            self._shelf.put(name, version, made[name])

    def set_state(self, name: str, version: int, state: str) -> None:
        """START, LOADING, AVAILABLE, UNLOADING or END: only AVAILABLE answers."""
        self._shelf.set_state(name, version, state)

    def set_label(self, name: str, label: str, version: int) -> None:
        """Points a label of a model at one of its versions."""
        self._shelf.set_label(name, label, version)

    def delay(
        self,
        delay_s: float,
        *,
        model: str | None = None,
        method: str | None = None,
        calls: Collection[int] | None = None,
        share: float | None = None,
        seed: int = 0,
    ) -> None:
        """Makes calls wait before they are answered; `math.inf` until the client gives up.

        Args:
            delay_s: how long.
            model: only calls of it.
            method: only calls of it, such as "Predict".
            calls: only these, counted from 0 among those that come from now on and fit the above.
            share: only so many of them, drawn with `seed`.
            seed: another one draws others.
        """
        self._faults.add(Fault(When(model, method, calls, share, seed), delay_s=delay_s))

    def fail(
        self,
        code: str,
        message: str = "",
        *,
        model: str | None = None,
        method: str | None = None,
        calls: Collection[int] | None = None,
        share: float | None = None,
        seed: int = 0,
    ) -> None:
        """Ends calls with a code of gRPC, such as "UNAVAILABLE"; which ones as in `delay`."""
        when = When(model, method, calls, share, seed)
        self._faults.add(Fault(when, refusal=Refusal(code, message)))

    def fill_queue(
        self,
        *,
        model: str | None = None,
        calls: Collection[int] | None = None,
        share: float | None = None,
        seed: int = 0,
    ) -> None:
        """Refuses predictions as a server whose batching queue is full; which as in `delay`."""
        self.fail(
            "UNAVAILABLE",
            _QUEUE_FULL,
            model=model,
            method="Predict",
            calls=calls,
            share=share,
            seed=seed,
        )

    def garble(
        self,
        answer: bytes = _GARBAGE,
        *,
        model: str | None = None,
        method: str | None = None,
        calls: Collection[int] | None = None,
        share: float | None = None,
        seed: int = 0,
    ) -> None:
        """Answers calls with bytes that are no message, or with yours; which as in `delay`."""
        self._faults.add(Fault(When(model, method, calls, share, seed), answer=answer))

    def swell(
        self,
        extra_bytes: int,
        *,
        model: str | None = None,
        method: str | None = None,
        calls: Collection[int] | None = None,
        share: float | None = None,
        seed: int = 0,
    ) -> None:
        """Makes right answers larger by so much; which as in `delay`."""
        self._faults.add(Fault(When(model, method, calls, share, seed), extra_bytes=extra_bytes))

    def heal(self) -> None:
        """Ends all delays, errors and other faults that were set."""
        self._faults.clear()

    def start(self) -> None:
        """Listens again after `stop`, at the same port."""
        deadline_s = time.monotonic() + (_BIND_S if self._was_bound else 0)
        while self._running is None:
            threads = futures.ThreadPoolExecutor(self._threads, thread_name_prefix="fake-server")
            server = grpc.server(threads, handlers=(_Methods(self._answer),), options=_OPTIONS)
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
            self._running = server, threads

    def stop(self) -> None:
        """Breaks all connections, as a server that dies does. Models, faults and calls stay."""
        running, self._running = self._running, None
        if running is not None:
            server, threads = running
            server.stop(None).wait()
            threads.shutdown()

    def restart(self) -> None:
        """Stops and listens again, at the same port."""
        self.stop()
        self.start()

    def __enter__(self) -> FakeServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _bind(self, server: grpc.Server) -> int:
        where = f"127.0.0.1:{self.port}"
        if self._credentials is None:
            return int(server.add_insecure_port(where))
        return int(server.add_secure_port(where, self._credentials))

    def _answer(self, path: str, raw: bytes, context: grpc.ServicerContext) -> bytes:
        timeout_s = context.time_remaining()
        call = dataclasses.replace(
            seen(path.rpartition("/")[2], raw),
            metadata=dict(context.invocation_metadata()),
            timeout_s=timeout_s,
        )
        with self._lock:
            self.calls.append(call)
        met = self._faults.of(call)
        _wait(sum(fault.delay_s for fault in met), context)
        try:
            answer = _faulty(met)
            if answer is None:
                answer = ANSWERS[path](raw, self._shelf)
        except Refusal as refusal:
            context.abort(refusal.code, refusal.message)
            raise AssertionError("abort raises") from refusal
        except (DecodeError, TensorError) as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise AssertionError("abort raises") from error
        return answer + _padding(sum(fault.extra_bytes for fault in met))


class _Methods(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """What the server speaks; of anything else gRPC says that it is not implemented."""

    def __init__(self, answer: Callable[[str, bytes, grpc.ServicerContext], bytes]) -> None:
        self._answer = answer

    def service(self, details: Any) -> grpc.RpcMethodHandler | None:
        path = details.method
        if path not in ANSWERS:
            return None
        return grpc.unary_unary_rpc_method_handler(
            lambda raw, context: self._answer(path, raw, context)
        )


def _wait(delay_s: float, context: grpc.ServicerContext) -> None:
    """Waits, but no longer than the client and the server do."""
    if delay_s <= 0:
        return
    ended = threading.Event()
    if context.add_callback(ended.set):
        ended.wait(None if math.isinf(delay_s) else delay_s)


def _faulty(met: Sequence[Fault]) -> bytes | None:
    """What comes in place of the right answer, if anything does."""
    for fault in met:
        if fault.refusal is not None:
            raise Refusal(fault.refusal.code.name, fault.refusal.message)
        if fault.answer is not None:
            return fault.answer
    return None


def _padding(size_bytes: int) -> bytes:
    """A field of the message that no reader knows, so that it skips it."""
    if size_bytes <= 0:
        return b""
    return _wire.delimited(_UNKNOWN_FIELD, size_bytes) + bytes(size_bytes)
