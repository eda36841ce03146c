"""The REST port: model API and metrics over HTTP/1.1, on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor

from dualtower_serving.embedded.metrics import Metrics
from dualtower_serving.embedded.open_files import OTHER_FILES, most_open_files
from dualtower_serving.embedded.rest_api import RestApi
from dualtower_serving.embedded.rest_connection import RestConnection, Shared
from dualtower_serving.embedded.rest_settings import RestSettings
from dualtower_serving.embedded.service import ModelService
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["RestFront"]

_BACKLOG = 1024

_log = logging.getLogger(__name__)


class RestFront:
    """Listens and answers. Made and used on the event loop.

    Args:
        service: runs the models.
        settings: how to answer, and what a caller may cost.
        metrics: what is counted; None: nothing that anybody sees.
    """

    def __init__(
        self, service: ModelService, settings: RestSettings, metrics: Metrics | None = None
    ) -> None:
        metrics = metrics or Metrics()
        self._settings = settings
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="rest-json")
        self._shared = Shared(
            RestApi(service, settings, metrics, self._threads),
            settings.limits,
            settings.limits.connections,
        )
        self._server: asyncio.Server | None = None
        metrics.watch(
            "rest_connections",
            "Open connections of the REST port.",
            (),
            lambda: {(): len(self._shared.connections)},
        )
        metrics.watch(
            "rest_body_bytes",
            "Bodies of requests that are read or worked on.",
            (),
            lambda: {(): self._shared.body_bytes},
        )

    async def listen(self, port: int) -> int:
        """Opens the port (0: a free one) and begins to answer; returns its number.

        Raises:
            StatusError: UNAVAILABLE, the port is taken or cannot be bound.
        """
        self._shared.max_connections = min(
            self._settings.limits.connections, max(1, most_open_files() - OTHER_FILES)
        )
        host = self._settings.host
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: RestConnection(self._shared), host, port, backlog=_BACKLOG
            )
        except OSError as error:
            raise StatusError(
                Code.UNAVAILABLE, f"cannot listen on {host}:{port}: {error.strerror or error}"
            ) from error
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self, drain_s: float) -> None:
        """Refuses new connections, answers what has come, cuts what is left after `drain_s`."""
        shared = self._shared
        if self._server is not None:
            self._server.close()
        shared.draining = True
        for connection in list(shared.connections):
            connection.close_if_idle()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._all_gone(), drain_s)
        for connection in list(shared.connections):
            connection.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _all_gone(self) -> None:
        while self._shared.connections:
            self._shared.closed.clear()
            await self._shared.closed.wait()
