"""What may become of the connections to a server, below gRPC: silence, resets, other bytes.

client ─► Wire ─► server        one thread with an event loop of its own moves the bytes
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any

from dualtower.errors import UsageError

__all__ = ["Wire"]

_CHUNK_BYTES = 1 << 16
_GARBAGE = b"HTTP/1.1 400 Bad Request\r\n\r\n"  # what a web server says to HTTP/2
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: at once, which TCP does by RST


class Wire:
    """A port in front of a server, a fake one or any other, whose connections a test breaks.

    Args:
        server: HOST:PORT, where connections go on to. TLS passes through.

    Attributes:
        address: HOST:PORT, for a client.
        opened: connections that clients have opened so far.

    Example:
        with FakeServer.with_bundle(items) as server, Wire(server.address) as wire:
            shop = Shop(Recommender(wire.address))
            wire.fall_silent()
            assert shop.front_page("ann") == best_sellers
            wire.heal()
    """

    def __init__(self, server: str) -> None:
        host, _, port = server.rpartition(":")
        if not host or not port.isdigit():
            raise UsageError(f"server must be HOST:PORT, got {server!r}")
        # gRPC tries each address of a name; fake servers listen at the first
        self._target = ("127.0.0.1" if host == "localhost" else host.strip("[]"), int(port))
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._delay_s = 0.0
        self._ending: Callable[[asyncio.StreamWriter], None] | None = None
        self.opened = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._thread.start()
        self.address = f"localhost:{self._run(self._listen())}"

    def fall_silent(self) -> None:
        """No byte passes any more, and no connection ends: the other side is gone without a word.

        Holds for open connections, and for new ones, which are accepted.
        """
        self._run(self._set(flows=False))

    def reset(self) -> None:
        """Ends all connections with a reset, and each new one too."""
        self._run(self._set(ending=_reset))

    def hang_up(self) -> None:
        """Ends all connections as a process does that exits, and each new one too."""
        self._run(self._set(ending=_close))

    def garble(self, answer: bytes = _GARBAGE) -> None:
        """Says these bytes, which are no HTTP/2, on each connection, and ends it."""

        def say(client: asyncio.StreamWriter) -> None:
            client.write(answer)
            client.close()

        self._run(self._set(ending=say))

    def delay(self, delay_s: float) -> None:
        """Bytes take so much longer, each way: a server that is far away."""
        self._run(self._set(delay_s=delay_s))

    def heal(self) -> None:
        """All is well for new connections, and bytes that were held back pass."""
        self._run(self._set())

    def close(self) -> None:
        """Ends all connections, and does not listen any more."""
        if not self._loop.is_closed():
            self._run(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> int:
        self._flows = asyncio.Event()
        self._flows.set()
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._listening.sockets[0].getsockname()[1])

    async def _set(
        self,
        *,
        flows: bool = True,
        ending: Callable[[asyncio.StreamWriter], None] | None = None,
        delay_s: float = 0.0,
    ) -> None:
        """Of what may be wrong, one thing at a time."""
        self._ending, self._delay_s = ending, delay_s
        if ending is not None:
            for client in self._open:
                ending(client)
        if flows:
            self._flows.set()
        else:
            self._flows.clear()

    async def _end(self) -> None:
        self._listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self.opened += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(client)
        try:
            if self._ending is not None:
                self._ending(client)
                return
            await self._flows.wait()
            await self._connect(reader, client)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(client)
            self._tasks.discard(task)
            client.close()

    async def _connect(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        from_server, server = await asyncio.open_connection(*self._target)
        ways = [
            asyncio.ensure_future(self._pass_on(reader, server)),
            asyncio.ensure_future(self._pass_on(from_server, client)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            await self._flows.wait()  # that one side has ended is no word to the other in silence
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            server.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                await self._flows.wait()
                writer.write(chunk)
                await writer.drain()


def _close(client: asyncio.StreamWriter) -> None:
    client.close()


def _reset(client: asyncio.StreamWriter) -> None:
    connection = client.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    client.transport.abort()
