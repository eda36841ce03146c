"""Lets as many requests go at a time as the limit says; the earliest batch goes first."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dualtower_clients.bulk.limit import AdaptiveLimit

__all__ = ["Gate"]


class Gate:
    """A semaphore whose size moves.

    The output is in order, so that everything waits for the earliest batch: of those that wait it
    is let in before the others, also when it comes again after a failure.

    Args:
        limit: read anew each time.
    """

    def __init__(self, limit: AdaptiveLimit) -> None:
        self._limit = limit
        self._inside = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0

    @asynccontextmanager
    async def passed(self, rank: int) -> AsyncIterator[None]:
        """Held while a request is under way; the lowest `rank` goes first."""
        turn = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._waiting, (rank, self._count, turn))
        self._let_in()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()
            raise
        try:
            yield
        finally:
            self._leave()

    def _leave(self) -> None:
        self._inside -= 1
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._inside < self._limit.value:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self._inside += 1
                turn.set_result(None)
