"""How the graph of a loaded version is run for callers on the event loop.

    caller (loop) ─► Runner ─┬─ DirectRunner: one run a call, in a thread of the pool
                             └─ BatchingRunner (batch_scheduler): calls share a run

TensorFlow works without Python's lock, so the loop goes on meanwhile. Decoding and encoding of
large messages leaves the loop too.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from dualtower_clients.proto import signature_pb2
from dualtower_serving.embedded.pace import Pace
from dualtower_serving.embedded.servable import Servable
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["Call", "DirectRunner", "LoadedModel", "Runner", "off_loop"]

_LARGE_BYTES = 256 * 1024  # a conversion of less than about 0.2 ms

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """What a request comes with besides its message.

    Attributes:
        deadline_ns: when its caller stops waiting, by `time.monotonic_ns`; None: never.
        entrypoint: "GRPC" or "REST".
        size_bytes: of the message as it came.
    """

    deadline_ns: int | None = None
    entrypoint: str = "GRPC"
    size_bytes: int = 0

    def timeout_ms(self, now_ns: int) -> int:
        """What is left of the time, at least 1; 0 where there is no deadline."""
        if self.deadline_ns is None:
            return 0
        return max(1, (self.deadline_ns - now_ns) // 1_000_000)


class Runner(Protocol):
    """Runs the graph of one loaded version. Called on the event loop."""

    async def run(
        self, feeds: Mapping[str, NDArray[Any]], fetches: Sequence[str], call: Call
    ) -> list[NDArray[Any]]:
        """Computes tensors of the graph; see `Servable.run`.

        Cancelling the awaiting task drops a run that has not begun.
        """

    def close(self) -> None:
        """Ends what the runner holds; no call uses it any more."""


class DirectRunner:
    """One run of the graph for each call.

    Args:
        servable: what is run.
        pool: the threads; as many calls run at a time.
    """

    def __init__(self, servable: Servable, pool: Executor) -> None:
        self._servable = servable
        self._pool = pool
        self._pace = Pace()

    async def run(
        self, feeds: Mapping[str, NDArray[Any]], fetches: Sequence[str], call: Call
    ) -> list[NDArray[Any]]:
        """See `Runner`."""
        loop = asyncio.get_running_loop()
        # not the pool's own future: its way to the loop takes two rounds more
        answer: asyncio.Future[list[NDArray[Any]]] = loop.create_future()
        queued_ns = time.monotonic_ns()
        work = self._pool.submit(self._run, feeds, fetches, call, queued_ns, loop, answer)
        try:
            return await answer
        except asyncio.CancelledError:
            if not work.cancel() and not work.done():
                # its version must stay loaded until the run ends
                await asyncio.wait([asyncio.wrap_future(work)])
            raise

    def close(self) -> None:
        """See `Runner`; the pool belongs to the server."""

    def _run(
        self,
        feeds: Mapping[str, NDArray[Any]],
        fetches: Sequence[str],
        call: Call,
        queued_ns: int,
        loop: asyncio.AbstractEventLoop,
        answer: asyncio.Future[list[NDArray[Any]]],
    ) -> None:
        settle: Callable[[Any], None]
        try:
            begun_ns = time.monotonic_ns()
            if self._pace.is_too_late(queued_ns, call.deadline_ns, begun_ns):
                raise StatusError(Code.DEADLINE_EXCEEDED, "Timed out before the run began")
            found: Any = self._servable.run(feeds, fetches, timeout_ms=call.timeout_ms(begun_ns))
            self._pace.ran(time.monotonic_ns() - begun_ns)
            settle = answer.set_result
        except BaseException as error:
            found, settle = error, answer.set_exception
        with contextlib.suppress(RuntimeError):  # the loop is closed, nobody waits any more
            loop.call_soon_threadsafe(_settle, answer, settle, found)


class LoadedModel:
    """A version that answers: its signatures, and how its graph is run."""

    def __init__(self, servable: Servable, runner: Runner) -> None:
        self.signatures: Mapping[str, signature_pb2.SignatureDef] = servable.signatures
        self.defaults = servable.defaults
        self.runner = runner
        self._servable = servable

    def close(self) -> None:
        """Frees the session, once what still runs in it has ended."""
        self.runner.close()
        self._servable.close()


async def off_loop(size_bytes: int, work: Callable[..., T], *arguments: Any) -> T:
    """Calls `work` here, or in a thread where it handles so many bytes that others would wait."""
    if size_bytes < _LARGE_BYTES:
        return work(*arguments)
    return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


def _settle(answer: asyncio.Future[Any], settle: Callable[[Any], None], found: Any) -> None:
    if not answer.done():  # its caller may have gone
        settle(found)
