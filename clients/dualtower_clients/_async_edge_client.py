"""The models of a bundle in this process, asked as an `AsyncServingClient` is asked.

    task ─► job ─► one thread, a job at a time ─► the loop ─► the task, if it still waits
             └ taken back where the task was cancelled, its time is over, or the client closes

LiteRT computes without Python's global lock, so that the loop goes on meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from numpy.typing import ArrayLike

from dualtower.errors import UsageError
from dualtower_clients._edge_models import EdgeModels
from dualtower_clients.results import Prediction, VersionStatus
from dualtower_clients.settings import Metadata

__all__ = ["AsyncEdgeClient"]


class AsyncEdgeClient:
    """Answers by a thread of its own. It belongs to the event loop of its first call.

    Args:
        models: loaded, or to be loaded by the first call; other clients may have them too.
        timeout_s: of a call that names none itself.
    """

    def __init__(self, models: EdgeModels, *, timeout_s: float) -> None:
        self.address = models.address
        self.addresses = (models.address,)
        self.timeout_s = timeout_s
        self._models = models
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dualtower-edge")
        self._waiting: dict[asyncio.Future[Prediction], str] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False

    async def predict(
        self,
        model: str,
        inputs: Mapping[str, ArrayLike],
        *,
        signature: str = "serving_default",
        version: int | None = None,
        label: str | None = None,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> Prediction:
        """As `AsyncServingClient.predict`. A deadline ends the call; what runs, runs to its end."""
        loop = self._own_loop(model)
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        answered: asyncio.Future[Prediction] = loop.create_future()
        job = self._thread.submit(self._models.ask, model, signature, inputs, timeout_s=timeout_s)
        self._waiting[answered] = model
        job.add_done_callback(partial(_hand_over, loop, answered))
        try:
            await asyncio.wait([answered], timeout=timeout_s)
            if not answered.done():
                raise self._models.too_late(model, timeout_s)
            return answered.result()
        finally:
            del self._waiting[answered]
            job.cancel()  # which one that runs, or has ended, does not mind
            if not answered.cancel() and not answered.cancelled():
                answered.exception()  # seen, also where the task was cancelled at that moment

    def watch_connections(self, on_lost: Callable[[], None]) -> None:
        """There is none that could be lost."""

    async def status(
        self, model: str, *, timeout_s: float | None = None, metadata: Metadata = ()
    ) -> tuple[VersionStatus, ...]:
        """The version of the bundle, which is there."""
        self._own_loop(model)
        return self._models.status

    async def wait_until_available(self, models: Iterable[str], *, timeout_s: float) -> None:
        """It is there from the beginning."""

    async def close(self) -> None:
        """Running calls end as CallCancelled; the thread ends after what it computes."""
        self._is_closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)
        for answered, model in self._waiting.items():
            if not answered.done():
                answered.set_exception(self._models.closed_error(model))

    def _own_loop(self, model: str) -> asyncio.AbstractEventLoop:
        if self._is_closed:
            raise self._models.closed_error(model)
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if loop is not self._loop:
            raise UsageError(
                f"the client of {self.address} belongs to another event loop, that of its first "
                "call; make a client in each loop, and use it there"
            )
        return loop


def _hand_over(
    loop: asyncio.AbstractEventLoop,
    answered: asyncio.Future[Prediction],
    job: Future[Prediction],
) -> None:
    """Called by the thread, or by whoever took the job back."""
    if not job.cancelled():
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(_settle, answered, job)


def _settle(answered: asyncio.Future[Prediction], job: Future[Prediction]) -> None:
    if answered.done():
        return
    if error := job.exception():
        answered.set_exception(error)
    else:
        answered.set_result(job.result())
