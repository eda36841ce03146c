"""Has rows embedded: sends a batch until it is answered, in parts where the server wants less.

rows ─► gate ─► Predict ─► space ─► vectors
          ▲        ├ busy, lost: the limit falls, a pause, again
          └────────┴ too large, too slow: two halves
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dualtower_clients import _requests, _responses
from dualtower_clients._calls import CallFacts
from dualtower_clients.async_serving_client import AsyncServingClient
from dualtower_clients.bulk.batches import Batch, BatchSize
from dualtower_clients.bulk.gate import Gate
from dualtower_clients.bulk.limit import AdaptiveLimit
from dualtower_clients.bulk.options import BulkOptions
from dualtower_clients.bulk.patience import Patience
from dualtower_clients.bulk.records import Row
from dualtower_clients.bulk.space import Space
from dualtower_clients.errors import (
    DeadlineExceeded,
    ModelNotFound,
    RequestError,
    ResponseError,
    RetryableError,
    ServerBusy,
    ServerUnreachable,
)
from dualtower_clients.results import Prediction

__all__ = ["Asking", "Vectors"]

T = TypeVar("T")

_SWAP_ATTEMPTS = 3


@dataclass(frozen=True)
class Vectors:
    """The answer for some rows of a batch.

    Attributes:
        values: [rows, dim] float32, a view of what was received.
        version: that answered.
    """

    values: NDArray[np.float32]
    version: int


class Asking:
    """Embeds batches, many at a time.

    Args:
        client: that asks.
        space: connected.
        options: of the run.
        size: falls where the server allows fewer rows.
    """

    def __init__(
        self, client: AsyncServingClient, space: Space, options: BulkOptions, size: BatchSize
    ) -> None:
        self._client = client
        self._space = space
        self._options = options
        self._size = size
        self._patience = Patience(options.patience_s)
        self.limit = AdaptiveLimit(options.max_in_flight, time.monotonic_ns())
        self._gate = Gate(self.limit)

    async def vectors(self, batch: Batch) -> list[Vectors]:
        """The vectors of a batch's rows, in order; of one that was split, several parts.

        Raises:
            BundleMismatch: the server has changed to another bundle.
            ClientError: it refuses, or was not to be had for longer than the patience lasts.
        """
        found: list[Vectors] = []
        left = _pieces(batch.rows, self._size.rows)  # which may be less than when it was read
        while left:
            rows = left.pop()
            try:
                found.append(await self._part(batch, rows))
            except (RequestError, DeadlineExceeded) as error:
                if len(rows) == 1 or isinstance(error, ModelNotFound) or self._patience.is_over:
                    raise
                left += _pieces(rows, min(self._size.rows, len(rows) // 2))
        return found

    async def confirm(self) -> None:
        """That the server still has the run's bundle; see `Space.confirm`."""
        await self._patiently(self._space.confirm)

    async def _part(self, batch: Batch, rows: Sequence[Row]) -> Vectors:
        answer = await self._patiently(partial(self._admitted, batch, rows), is_long=len(rows) > 1)
        return Vectors(self._read(answer, len(rows)), answer.version)

    async def _admitted(self, batch: Batch, rows: Sequence[Row]) -> Prediction:
        """An answer of the run's space. One whose server is lost before it was asked is dropped."""
        for attempt in range(1, _SWAP_ATTEMPTS + 1):
            answer = await self._once(batch, rows)
            try:
                await self._space.admit(answer)
            except ModelNotFound:  # this version was unloaded between its answer and the check
                if attempt == _SWAP_ATTEMPTS:
                    raise
            else:
                break
        return answer

    async def _patiently(self, ask: Callable[[], Awaitable[T]], *, is_long: bool = False) -> T:
        """Asks until there is an answer; what is too long for the deadline may be split instead."""
        failures = 0
        while True:
            try:
                answer = await ask()
            except RetryableError as error:
                if is_long and isinstance(error, DeadlineExceeded):
                    raise
                if not isinstance(error, ServerBusy):  # which is still the same one
                    self._space.forget()
                failures += 1
                pause_s = self._patience.pause_s(error, failures)
            else:
                self._patience.answered()
                return answer
            await asyncio.sleep(pause_s)

    async def _once(self, batch: Batch, rows: Sequence[Row]) -> Prediction:
        async with self._gate.passed(batch.first):
            begin_ns = time.monotonic_ns()
            try:
                answer = await self._predict(rows)
            except RetryableError as error:
                is_lost = isinstance(error, ServerUnreachable)
                self.limit.overloaded(begin_ns, time.monotonic_ns(), is_lost=is_lost)
                if isinstance(error, DeadlineExceeded):
                    self._size.was_slow(len(rows))
                raise
            except RequestError as error:
                if not isinstance(error, ModelNotFound):
                    self._size.refused(len(rows))
                raise
            if answer.failures:
                self.limit.overloaded(begin_ns, time.monotonic_ns())
            self.limit.answered(len(rows), time.monotonic_ns())
            self._size.answered()
            return answer

    async def _predict(self, rows: Sequence[Row]) -> Prediction:
        options = self._options
        contents: list[Any] = [row.content for row in rows]
        if options.is_of_users:
            contents = _requests.history_rows(contents, self._space.history_items)
        alias = "history" if options.is_of_users else "text"
        return await self._client.predict(
            options.model,
            {alias: np.array(contents, dtype=object)},
            outputs=["embedding"],
            version=options.version,
            label=options.label,
        )

    def _read(self, answer: Prediction, rows: int) -> NDArray[np.float32]:
        facts = CallFacts(answer.address, self._options.model, self._options.timeout_s)
        embedding = _responses.vectors(answer, rows=rows, dim=self._space.dim, facts=facts)
        values = np.ascontiguousarray(embedding, dtype=np.float32)
        if not np.isfinite(values).all():
            raise ResponseError(
                f"model {facts.model!r} at {facts.address} answered with a vector that holds NaN "
                "or infinity; verify its bundle with `dualtower verify`",
                address=facts.address,
                model=facts.model,
            )
        return values


def _pieces(rows: Sequence[Row], size: int) -> list[Sequence[Row]]:
    """The rows in pieces, the last piece first: what is done next is at the end."""
    return [rows[at : at + size] for at in range(0, len(rows), size)][::-1]
