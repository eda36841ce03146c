"""The two kinds of client, and how each drives callers. One question, one load, both kinds."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from dualtower_benchmarks.faults.tally import Tally
from dualtower_clients import AsyncRecommender, AsyncServingClient, Recommender, ServingClient

__all__ = ["KINDS", "Kind", "Load", "Question", "Stage"]

_LINGERING_S = 2.0  # of tasks that were cancelled


@dataclass(frozen=True)
class Question:
    """What each call asks.

    Attributes:
        ask: of (client, number, timeout_s): the answer, or an awaitable of it.
        is_right: of (answer, number).
    """

    ask: Callable[[Any, int, float], Any]
    is_right: Callable[[Any, int], bool]

    def is_answered(self, answer: Any, number: int) -> bool:
        """Whether the answer is the right one; one that cannot be checked is not."""
        try:
            return self.is_right(answer, number)
        except Exception:
            return False


@dataclass(frozen=True)
class Load:
    """How much is asked.

    Attributes:
        callers: threads or tasks, each with one call in flight.
        timeout_s: the longest deadline.
        spread: deadlines are between `timeout_s` times (1 - spread) and `timeout_s`.
        calls: of each caller; None: until the fault is over.
        pause_s: between two calls of a caller.
        cancels: calls are cancelled at their deadline by the load.
        give_up_s: past its deadline, a call is said never to end.
    """

    callers: int
    timeout_s: float
    spread: float = 0.0
    calls: int | None = None
    pause_s: float = 0.002
    cancels: bool = False
    give_up_s: float = 5.0

    def timeout_of(self, number: int) -> float:
        """Of one call: spread evenly, and the same in each run."""
        return self.timeout_s * (1 - self.spread * (number * 0.618034 % 1))


@dataclass
class Stage:
    """What a load and its fault share while they run.

    Attributes:
        load, tally: of it.
        stop: no call begins any more.
        ready: the client is there.
        client: that is asked.
        close: closes it, from any thread.
        tasks_left: of asyncio, after the client was closed.
    """

    load: Load
    tally: Tally
    stop: threading.Event
    ready: threading.Event
    client: Any = None
    close: Callable[[], object] | None = None
    tasks_left: int = 0

    def numbers(self, caller: int) -> Any:
        """Numbers of one caller's calls, as long as the load goes on."""
        made = 0
        while not self.stop.is_set() and (self.load.calls is None or made < self.load.calls):
            yield caller * 1_000_000 + made
            made += 1


@dataclass(frozen=True)
class Kind:
    """One kind of client.

    Attributes:
        name: in the table.
        serving, recommender: its classes.
        drive: opens a client, lets callers ask until the stage stops, closes it.
    """

    name: str
    serving: Any
    recommender: Any
    drive: Callable[[Callable[[], Any], Question, Stage], None]


def _threads(make: Callable[[], Any], question: Question, stage: Stage) -> None:
    tally, load = stage.tally, stage.load

    def ask(caller: int) -> None:
        for number in stage.numbers(caller):
            timeout_s = load.timeout_of(number)
            token = tally.begin(timeout_s)
            try:
                answer = question.ask(stage.client, number, timeout_s)
            except BaseException as error:
                tally.fail(token, error)
            else:
                tally.answer(token, right=question.is_answered(answer, number))
            time.sleep(load.pause_s)

    with tally.step(load.timeout_s):
        stage.client = make()
    stage.close = stage.client.close
    callers = [threading.Thread(target=ask, args=(i,), daemon=True) for i in range(load.callers)]
    for caller in callers:
        caller.start()
    stage.ready.set()
    for caller in callers:
        caller.join()
    with tally.step(load.timeout_s):
        stage.client.close()


def _asyncio(make: Callable[[], Any], question: Question, stage: Stage) -> None:
    asyncio.run(_tasks(make, question, stage))


async def _tasks(make: Callable[[], Any], question: Question, stage: Stage) -> None:
    tally, load = stage.tally, stage.load

    async def ask(caller: int) -> None:
        for number in stage.numbers(caller):
            timeout_s = load.timeout_of(number)
            token = tally.begin(timeout_s)
            try:
                answer = await _asked(question, stage.client, number, timeout_s, load.cancels)
            except BaseException as error:
                tally.fail(token, error)
            else:
                tally.answer(token, right=question.is_answered(answer, number))
            await asyncio.sleep(load.pause_s)

    with tally.step(load.timeout_s):
        stage.client = make()
        await stage.client.__aenter__()
    loop = asyncio.get_running_loop()
    stage.close = lambda: asyncio.run_coroutine_threadsafe(stage.client.close(), loop).result()
    callers = [asyncio.ensure_future(ask(caller)) for caller in range(load.callers)]
    stage.ready.set()
    await asyncio.gather(*callers)
    with tally.step(load.timeout_s):
        await stage.client.close()
    deadline_s = time.monotonic() + _LINGERING_S
    while (left := len(asyncio.all_tasks()) - 1) and time.monotonic() < deadline_s:
        await asyncio.sleep(0.01)
    stage.tasks_left = left


async def _asked(
    question: Question, client: Any, number: int, timeout_s: float, cancels: bool
) -> Any:
    asked: Awaitable[Any] = question.ask(client, number, timeout_s)
    if not cancels:
        return await asked
    task = asyncio.ensure_future(asked)
    done, _ = await asyncio.wait([task], timeout=timeout_s)
    if not done:
        task.cancel()
    return await task


KINDS = {
    "threads": Kind("threads", ServingClient, Recommender, _threads),
    "asyncio": Kind("asyncio", AsyncServingClient, AsyncRecommender, _asyncio),
}
