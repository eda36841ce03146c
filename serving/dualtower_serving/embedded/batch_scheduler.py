"""The threads that run batches, one pool for all models.

    loop ─► BatchingRunner.run ─► its BatchQueue ─┐              ┌─► the graph
                                  other queues ───┴─► a thread ──┴─► answers ─► loop

Threads take the first batch of each queue in turn, so that a full queue starves no other. Nothing
is polled: an idle thread sleeps until it is woken, one of them no longer than until the next batch
is due. While all threads run, batches go on filling, so they grow with the load by themselves; of a
load that is more than the threads can do, what would be answered too late is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from dualtower_serving.embedded import batch_tensors
from dualtower_serving.embedded.batch_dtypes import InputTypes
from dualtower_serving.embedded.batch_queue import Batch, BatchQueue, Request
from dualtower_serving.embedded.batch_run import Answer, answers_of, refusals, still_wanted
from dualtower_serving.embedded.batching_settings import BatchingSettings
from dualtower_serving.embedded.pace import Pace
from dualtower_serving.embedded.status import Code, StatusError

if TYPE_CHECKING:  # both import TensorFlow
    from dualtower_serving.embedded.execution import Call
    from dualtower_serving.embedded.servable import Servable

__all__ = ["BatchMetrics", "BatchScheduler", "BatchingRunner"]

_LONGEST_SLEEP_S = 3600.0  # a timeout may be longer than a lock can wait
_NS_PER_S = 1_000_000_000
_MOST_PACES = 100  # callers make as many queues as there are output filters

_Key = tuple[tuple[str, ...], tuple[str, ...]]  # inputs, outputs


class BatchMetrics(Protocol):
    """What is counted, from any thread."""

    def batch_queued(self, model: str, elapsed_ns: int) -> None:
        """A request left its queue to be run."""

    def batch_ran(self, model: str, rows: int, processed_rows: int) -> None:
        """A batch ran as `processed_rows`, padding included."""


class BatchScheduler:
    """Queues of all loaded versions, and the threads that serve them.

    Args:
        threads: batches that run at a time; each is started when it is first needed.
        name: what the threads are called.
        metrics: told of every batch.
    """

    def __init__(
        self, threads: int, *, name: str = "batch_threads", metrics: BatchMetrics | None = None
    ) -> None:
        self._limit = threads
        self._name = name
        self._metrics = metrics
        self._lock = threading.Lock()
        self._drained = threading.Condition(self._lock)
        self._queues: OrderedDict[BatchQueue, BatchingRunner] = OrderedDict()  # with something in
        self._threads: list[threading.Thread] = []
        self._sleepers: list[_Sleeper] = []
        self._hurried = False
        self._closed = False

    def runner(self, model: str, servable: Servable, settings: BatchingSettings) -> BatchingRunner:
        """The runner of one loaded version; versions never share a batch."""
        return BatchingRunner(self, model, servable, settings)

    def hurry(self) -> None:
        """From now on no batch waits for more requests: the server is about to stop."""
        with self._lock:
            self._hurried = True
            self._call_a_thread(time.monotonic_ns())

    def close(self) -> None:
        """Runs what waits, then ends the threads. Later requests are refused."""
        with self._lock:
            self._hurried = self._closed = True
            for sleeper in tuple(self._sleepers):
                self._wake(sleeper)
        for thread in self._threads:
            thread.join()

    def submit(self, runner: BatchingRunner, request: Request) -> None:
        """Queues a request of a runner; a few microseconds.

        Raises:
            StatusError: the request is too large, or there is no room.
        """
        key = _key_of(request)
        now_ns = request.queued_ns
        with self._lock:
            if self._closed or runner.closed:
                raise StatusError(Code.UNAVAILABLE, "this version takes no more requests")
            queue = runner.queues.get(key)
            if queue is None:
                queue = BatchQueue(runner.settings, *key, runner.pace_of(key))
            was_empty, ready = len(queue) == 0, queue.ready(now_ns)
            queue.add(request, now_ns)
            runner.queues[key] = queue
            self._queues.setdefault(queue, runner)
            if self._hurried or queue.ready(now_ns) > ready:
                self._call_a_thread(now_ns)
            elif was_empty:
                self._call_a_thread(queue.due_ns())

    def withdraw(self, runner: BatchingRunner, request: Request) -> None:
        """Drops a request, as far as it has not begun to run, and gives back its room."""
        with self._lock:
            queue = runner.queues.get(_key_of(request))
            if queue is not None:
                queue.remove(request)
                self._forget_if_empty(queue, runner)

    def drain(self, runner: BatchingRunner) -> None:
        """Waits until nothing of a runner waits or runs; what waits is run at once."""
        with self._lock:
            runner.closed = True
            if runner.queues:
                self._call_a_thread(time.monotonic_ns())
            while runner.queues or runner.running:
                self._drained.wait()

    def _serve(self) -> None:
        """The life of a thread."""
        me = _Sleeper()
        while True:
            with self._lock:
                now_ns = time.monotonic_ns()
                queue, next_ns = self._look(now_ns)
                if queue is None:
                    if self._closed and not self._queues:
                        return
                    me.alarm_ns = None if self._is_alarmed(next_ns) else next_ns
                    self._sleepers.append(me)
                else:
                    runner = self._queues[queue]
                    batch = self._take(queue, runner, now_ns)
                    other, next_ns = self._look(now_ns)
                    self._call_a_thread(next_ns if other is None else now_ns)
            if queue is None:
                woken = me.sleep(now_ns)
                with self._lock:
                    self._rise(me, woken)
                continue
            try:
                self._run(batch, queue, runner)
            finally:
                with self._lock:
                    runner.running -= 1
                    if runner.closed:
                        self._drained.notify_all()

    def _run(self, batch: Batch, queue: BatchQueue, runner: BatchingRunner) -> None:
        now_ns = time.monotonic_ns()
        wanted, answers = still_wanted(batch.pieces), refusals(batch.too_late)

        def ran(rows: int, padded_rows: int) -> None:
            if self._metrics is None:
                return
            for piece in wanted:
                self._metrics.batch_queued(runner.model, now_ns - piece.request.queued_ns)
            self._metrics.batch_ran(runner.model, rows, padded_rows)

        if wanted:
            answers += answers_of(
                wanted,
                queue.inputs,
                queue.outputs,
                runner.servable,
                runner.settings,
                now_ns,
                ran=ran,
            )
            queue.pace.ran(time.monotonic_ns() - now_ns, sum(piece.rows for piece in wanted))
        _deliver(answers)

    def _look(self, now_ns: int) -> tuple[BatchQueue | None, int | None]:
        """The queue whose turn it is; if there is none, when the next batch is due."""
        next_ns = None
        for queue, runner in self._queues.items():
            due_ns = queue.due_ns()
            if due_ns is None:
                continue
            if due_ns <= now_ns or runner.closed or self._hurried:
                return queue, None
            next_ns = due_ns if next_ns is None else min(next_ns, due_ns)
        return None, next_ns

    def _take(self, queue: BatchQueue, runner: BatchingRunner, now_ns: int) -> Batch:
        free_threads = 1 + len(self._sleepers) + self._limit - len(self._threads)
        batch = queue.take(free_threads, now_ns)
        runner.running += 1
        self._queues.move_to_end(queue)
        self._forget_if_empty(queue, runner)
        return batch

    def _forget_if_empty(self, queue: BatchQueue, runner: BatchingRunner) -> None:
        """Keeps no queue for later: callers make as many as there are output filters."""
        if len(queue) == 0:
            del self._queues[queue]
            del runner.queues[queue.inputs, queue.outputs]
            if runner.closed:
                self._drained.notify_all()

    def _call_a_thread(self, due_ns: int | None) -> None:
        """Sees to it that a free thread, if there is one, looks at the queues at this time."""
        if due_ns is None or self._is_alarmed(due_ns):
            return
        if self._sleepers:
            # one without an alarm, if possible: an alarm would have to be handed on
            self._wake(min(self._sleepers, key=lambda one: one.alarm_ns is not None))
        elif len(self._threads) < self._limit:
            name = f"{self._name}_{len(self._threads)}"
            thread = threading.Thread(target=self._serve, name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system has no more; those that run will come to it
                if not self._threads:
                    raise
            else:
                self._threads.append(thread)

    def _is_alarmed(self, due_ns: int | None) -> bool:
        """Whether a thread sleeps that will look at the queues by then of its own accord."""
        return due_ns is not None and any(
            one.alarm_ns is not None and one.alarm_ns <= due_ns for one in self._sleepers
        )

    def _wake(self, sleeper: _Sleeper) -> None:
        self._sleepers.remove(sleeper)
        sleeper.wake()

    def _rise(self, me: _Sleeper, woken: bool) -> None:
        if me in self._sleepers:
            self._sleepers.remove(me)
        elif not woken:  # the alarm rang, and it was woken as well before it had the lock
            me.absorb()


class BatchingRunner:
    """Runs the graph of one loaded version for many callers at once. Made by `BatchScheduler`.

    Attributes:
        model: its name, for metrics.
        servable: what runs.
        settings: of its queues.
        closed, running, queues: the scheduler's book-keeping, under its lock.
    """

    def __init__(
        self,
        scheduler: BatchScheduler,
        model: str,
        servable: Servable,
        settings: BatchingSettings,
    ) -> None:
        self.model = model
        self.servable = servable
        self.settings = settings
        self.closed = False
        self.running = 0
        self.queues: dict[_Key, BatchQueue] = {}
        self._paces: dict[_Key, Pace] = {}
        self._scheduler = scheduler
        self._types = InputTypes(servable.signatures)

    async def run(
        self, feeds: Mapping[str, NDArray[Any]], fetches: Sequence[str], call: Call
    ) -> list[NDArray[Any]]:
        """See `execution.Runner`."""
        rows = batch_tensors.rows_of(feeds)
        self._types.check(feeds)
        future: asyncio.Future[list[NDArray[Any]]] = asyncio.get_running_loop().create_future()
        request = Request(feeds, fetches, rows, call.deadline_ns, future, time.monotonic_ns())
        self._scheduler.submit(self, request)
        try:
            return await future
        except asyncio.CancelledError:
            self._scheduler.withdraw(self, request)
            raise

    def pace_of(self, key: _Key) -> Pace:
        """Of the runs of such a queue, which itself is forgotten as soon as it is empty."""
        if key not in self._paces and len(self._paces) >= _MOST_PACES:
            self._paces.clear()
        return self._paces.setdefault(key, Pace())

    def close(self) -> None:
        """Takes no more requests, and returns when those that it took are answered."""
        self._scheduler.drain(self)


class _Sleeper:
    """A thread that has nothing to do."""

    def __init__(self) -> None:
        self.alarm_ns: int | None = None  # when it wakes by itself
        self._gate = threading.Lock()
        self._gate.acquire()

    def sleep(self, now_ns: int) -> bool:
        """Waits for `wake`, or for the alarm; returns whether it was `wake`."""
        if self.alarm_ns is None:
            return self._gate.acquire()
        left_s = max(0, self.alarm_ns - now_ns) / _NS_PER_S
        return self._gate.acquire(timeout=min(left_s, _LONGEST_SLEEP_S))

    def wake(self) -> None:
        """Ends `sleep`, also one that has not begun."""
        self._gate.release()

    def absorb(self) -> None:
        """Takes back a `wake` that came too late for `sleep`."""
        self._gate.acquire()


def _key_of(request: Request) -> _Key:
    """Which requests may share a batch: those of equal inputs and outputs, in whatever order."""
    return tuple(sorted(request.feeds)), tuple(sorted(request.fetches))


def _deliver(answers: Sequence[Answer]) -> None:
    """Hands over all answers in one go: a wake-up of the loop costs more than an answer."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Answer]] = {}
    for answer in answers:
        by_loop.setdefault(answer[0].future.get_loop(), []).append(answer)
    for loop, some in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed, nobody waits any more
            loop.call_soon_threadsafe(_resolve, some)


def _resolve(answers: Sequence[Answer]) -> None:
    for request, answer in answers:
        if request.future.done():
            continue
        if isinstance(answer, StatusError):
            request.future.set_exception(answer)
        else:
            request.future.set_result(answer)
