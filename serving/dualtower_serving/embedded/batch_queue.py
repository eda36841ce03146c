"""The requests that wait to share a run: one queue a set of inputs and outputs of one version.

    add ─► open batch ─(no room left)─► closed batches ─► take
             └──────────(full, or its time is over)─────────┘

Pure but for its own state; `batch_scheduler` holds the lock, the clock and the threads. A batch
that could run but has not been taken yet goes on filling. What has waited too long to be answered
in time leaves the batch that is taken, and what waits behind takes its place; a batch that would
take too much of its callers' time leaves its end for the next run.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from dualtower_serving.embedded.batch_tensors import allowed_rows
from dualtower_serving.embedded.batching_settings import BatchingSettings
from dualtower_serving.embedded.pace import Pace
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["Batch", "BatchQueue", "Piece", "Request"]

_NS_PER_US = 1000
_SHARE_ROWS = 8  # of fewer rows a run is hardly shorter


class Request:
    """One call, and where its answer goes.

    Args:
        feeds: arrays by tensor name.
        fetches: tensor names, in the order of the answer.
        rows: of each feed.
        deadline_ns: when its caller stops waiting, on the clock of `queued_ns`; None: never.
        future: takes the outputs, or StatusError; of the caller's loop.
        queued_ns: when it came.
    """

    __slots__ = (
        "deadline_ns",
        "feeds",
        "fetches",
        "future",
        "parts",
        "pieces",
        "queued_ns",
        "rows",
    )

    def __init__(
        self,
        feeds: Mapping[str, NDArray[Any]],
        fetches: Sequence[str],
        rows: int,
        deadline_ns: int | None,
        future: asyncio.Future[list[NDArray[Any]]],
        queued_ns: int,
    ) -> None:
        self.feeds = feeds
        self.fetches = fetches
        self.rows = rows
        self.deadline_ns = deadline_ns
        self.future = future
        self.queued_ns = queued_ns
        self.pieces: list[Piece] = []
        self.parts: dict[int, list[NDArray[Any]]] = {}  # outputs of the pieces that have run


class Piece:
    """Consecutive rows of a request that run together: mostly all of them."""

    __slots__ = ("batch", "index", "request", "rows", "start")

    def __init__(self, request: Request, start: int, rows: int, batch: Batch) -> None:
        self.request = request
        self.start = start
        self.rows = rows
        self.batch = batch
        self.index = len(request.pieces)
        request.pieces.append(self)

    def feed(self, name: str) -> NDArray[Any]:
        """Its rows of one input."""
        array = self.request.feeds[name]
        if self.rows == self.request.rows:
            return array
        return array[self.start : self.start + self.rows]


class Batch:
    """Pieces that run together, in their order; the dict is an ordered set of them.

    Attributes:
        too_late: requests that were here, and are to be refused.
    """

    __slots__ = ("pieces", "rows", "started_ns", "taken", "too_late")

    def __init__(self) -> None:
        self.pieces: dict[Piece, None] = {}
        self.too_late: list[Request] = []
        self.rows = 0
        self.started_ns = 0
        self.taken = False

    def add(self, request: Request, start: int, rows: int, now_ns: int) -> None:
        """Takes up rows of a request."""
        if not self.pieces:
            self.started_ns = now_ns
        self.pieces[Piece(request, start, rows, self)] = None
        self.rows += rows

    def remove(self, piece: Piece) -> None:
        """Gives up rows that it holds."""
        del self.pieces[piece]
        self.rows -= piece.rows

    def move(self, piece: Piece, other: Batch) -> None:
        """Gives rows to another batch."""
        self.remove(piece)
        piece.batch = other
        other.pieces[piece] = None
        other.rows += piece.rows


class BatchQueue:
    """The batches of one set of inputs and outputs.

    Args:
        settings: sizes and times.
        inputs: names of the tensors that are fed.
        outputs: names of the tensors that are fetched.
        pace: of such runs; whoever runs them tells it.
    """

    def __init__(
        self,
        settings: BatchingSettings,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        pace: Pace,
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.pace = pace
        self._settings = settings
        self._batch_rows = settings.execution_rows
        self._timeout_ns = settings.batch_timeout_micros * _NS_PER_US
        self._closed: deque[Batch] = deque()
        self._open = Batch()

    def __len__(self) -> int:
        """Batches that hold something."""
        return len(self._closed) + bool(self._open.pieces)

    def due_ns(self) -> int | None:
        """When the first batch may run, 0 if it need not wait; None: there is none."""
        if self._closed or self._open.rows >= self._batch_rows:
            return 0
        return self._open.started_ns + self._timeout_ns if self._open.pieces else None

    def ready(self, now_ns: int) -> int:
        """How many batches may run now."""
        opened = self._open
        full = opened.rows >= self._batch_rows
        late = bool(opened.pieces) and now_ns >= opened.started_ns + self._timeout_ns
        return len(self._closed) + (full or late)

    def add(self, request: Request, now_ns: int) -> None:
        """Puts a request into the open batch, or into a next one.

        A request of no rows cannot share a run; it gets a batch of its own, which need not wait.

        Raises:
            StatusError: it is too large, or there is no room; nothing has changed.
        """
        limit = self._settings.max_batch_size
        if request.rows > limit:
            raise StatusError(
                Code.INVALID_ARGUMENT,
                f"Task size {request.rows} is larger than maximum input batch size {limit}",
            )
        if request.rows == 0:
            self._add_alone(request, now_ns)
        elif self._settings.enable_large_batch_splitting:
            self._add_split(request, now_ns)
        else:
            self._add_whole(request, now_ns)

    def take(self, free_threads: int = 1, now_ns: int = 0) -> Batch:
        """Hands out the first batch, of what can be answered in time. There is one.

        With a timeout of 0 nobody asked that requests wait for each other: each free thread then
        gets its share of the open batch, or callers that go in step would keep only one busy.
        """
        if self._closed:
            batch = self._closed.popleft()
        elif self._timeout_ns == 0:
            batch = self._share_of_open(free_threads)
        else:
            batch, self._open = self._open, Batch()
        batch.taken = True
        if self._shed(batch, batch, now_ns):
            self._fill(batch, now_ns)
        self._shorten(batch)
        return batch

    def remove(self, request: Request) -> None:
        """Gives back the room of a request, as far as its batches have not been taken."""
        for piece in request.pieces:
            batch = piece.batch
            if batch.taken or piece not in batch.pieces:
                continue
            batch.remove(piece)
            if not batch.pieces and batch is not self._open:
                self._closed.remove(batch)

    def _add_whole(self, request: Request, now_ns: int) -> None:
        if self._open.rows + request.rows > self._batch_rows:
            self._check_room(len(self._closed) + 1)
            self._close_open()
        self._open.add(request, 0, request.rows, now_ns)

    def _add_alone(self, request: Request, now_ns: int) -> None:
        self._check_room(len(self._closed))
        batch = Batch()
        batch.add(request, 0, 0, now_ns)
        self._closed.append(batch)

    def _add_split(self, request: Request, now_ns: int) -> None:
        batches = len(self._closed) + 1
        limit = self._settings.queue_batches
        capacity = (limit - batches + 1) * self._batch_rows - self._open.rows
        if request.rows > capacity:
            raise StatusError(
                Code.UNAVAILABLE,
                "The batch scheduling queue to which this task was submitted is full; "
                f"task size is {request.rows} but scheduling capacity is only {max(0, capacity)} "
                f"(num_enqueued_batches={batches}, max_enqueued_batches={limit}, "
                f"open_batch_size={self._open.rows}, max_execution_batch_size={self._batch_rows})",
            )
        start = 0
        while start < request.rows:
            if self._open.rows >= self._batch_rows:
                self._close_open()
            rows = min(request.rows - start, self._batch_rows - self._open.rows)
            self._open.add(request, start, rows, now_ns)
            start += rows

    def _share_of_open(self, free_threads: int) -> Batch:
        opened = self._open
        sizes = self._settings.allowed_batch_sizes
        share = max(_SHARE_ROWS, allowed_rows(-(-opened.rows // free_threads), sizes))
        if opened.rows <= share:
            self._open = Batch()
            return opened
        batch = Batch()
        for piece in tuple(opened.pieces):
            if batch.rows + piece.rows > share and batch.pieces:
                break
            opened.move(piece, batch)
        return batch

    def _shed(self, source: Batch, batch: Batch, now_ns: int) -> bool:
        """Takes out of `source` what is too late, noted in `batch`; whether there was any."""
        late = [
            piece
            for piece in source.pieces
            if self.pace.is_too_late(piece.request.queued_ns, piece.request.deadline_ns, now_ns)
        ]
        for piece in late:
            source.remove(piece)
            batch.too_late.append(piece.request)
        return bool(late)

    def _fill(self, batch: Batch, now_ns: int) -> None:
        """Gives a batch that has lost rows those that come next, as long as they are in time."""
        while self._closed or self._open.pieces:
            source = self._closed[0] if self._closed else self._open
            self._shed(source, batch, now_ns)
            for piece in tuple(source.pieces):
                if batch.rows + piece.rows > self._batch_rows or piece.rows == 0:
                    return
                source.move(piece, batch)
            if self._closed:
                self._closed.popleft()

    def _shorten(self, batch: Batch) -> None:
        """Puts the end of a batch that would run for too long back to the front."""
        rest, rows = Batch(), 0
        for piece in tuple(batch.pieces):
            rows += piece.rows
            request = piece.request
            if rest.pieces or (
                rows > piece.rows
                and self.pace.is_too_long(rows, request.queued_ns, request.deadline_ns)
            ):
                batch.move(piece, rest)
        if rest.pieces:
            self._closed.appendleft(rest)

    def _close_open(self) -> None:
        self._closed.append(self._open)
        self._open = Batch()

    def _check_room(self, batches: int) -> None:
        limit = self._settings.queue_batches
        if batches >= limit:
            raise StatusError(
                Code.UNAVAILABLE,
                "The batch scheduling queue to which this task was submitted is full; "
                f"currently {batches} batches enqueued and max_enqueued_batches is {limit}",
            )
