"""The three things that go on at the same time: reading, asking, writing. One loop, one thread.

batches ─► window of answers to come ─► the earliest one ─► the thread that writes
           └ as many more are read as it lets go
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dualtower_clients.bulk.asking import Asking, Vectors
from dualtower_clients.bulk.batches import Batch
from dualtower_clients.bulk.writing import Writing

__all__ = ["Watcher", "flow"]

_SPARE_BATCHES = 2  # that wait for their turn, beyond those that wait for their answer

Write = Callable[[Batch, list[Vectors]], Coroutine[Any, Any, None]]


class Watcher:
    """Is told how far a run is; this one does nothing with it."""

    def begins(self, total_rows: int | None, done_rows: int) -> None:
        """The input has so many rows, if that is known, of which so many are complete already."""

    def moves(self, rows: int, note: str) -> None:
        """So many more rows of the input are written or put aside."""


async def flow(
    batches: Iterator[Batch], asking: Asking, writing: Writing, watcher: Watcher
) -> None:
    """Embeds the batches and writes them in their order; returns when all of them are written."""
    with ThreadPoolExecutor(1) as thread:  # when it fails too, it ends before this returns

        async def write(batch: Batch, parts: list[Vectors]) -> None:
            if batch.ends_shard:
                await asking.confirm()
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(thread, writing.add, batch, parts)
            watcher.moves(batch.after - batch.first, f"{asking.limit.value} requests at a time")

        await _in_order(batches, asking, write)


async def _in_order(batches: Iterator[Batch], asking: Asking, write: Write) -> None:
    window: deque[tuple[Batch, asyncio.Task[list[Vectors]]]] = deque()
    writes: asyncio.Task[None] | None = None
    try:
        while await _filled(window, batches, asking):
            batch, answered = window[0]
            parts = await answered
            window.popleft()
            if writes is not None:
                await writes
            writes = asyncio.create_task(write(batch, parts))
        if writes is not None:
            await writes
    finally:
        left = [task for _, task in window] + ([writes] if writes else [])
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _filled(
    window: deque[tuple[Batch, asyncio.Task[list[Vectors]]]],
    batches: Iterator[Batch],
    asking: Asking,
) -> bool:
    """Reads as many batches as there is room for; whether any is under way."""
    while len(window) < 2 * asking.limit.value + _SPARE_BATCHES:
        batch = next(batches, None)
        if batch is None:
            break
        window.append((batch, asyncio.create_task(asking.vectors(batch))))
        await asyncio.sleep(0)  # it leaves before the next one is read
    return bool(window)
