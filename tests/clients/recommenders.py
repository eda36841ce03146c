"""Recommenders of both kinds behind one face, so that the same test holds for both."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from typing import Any

from dualtower_clients import Recommender
from dualtower_clients.async_recommender import AsyncRecommender


class BlockingRecommender:
    """An `AsyncRecommender` whose methods a test calls as those of a `Recommender`."""

    def __init__(self, address: str | Sequence[str] | AsyncRecommender, **settings: Any) -> None:
        self._loop = asyncio.new_event_loop()
        is_made = isinstance(address, AsyncRecommender)
        self._client = address if is_made else AsyncRecommender(address, **settings)
        try:
            self._run(self._client.__aenter__())
        except BaseException:
            self._end()
            raise

    def pinned(self, **named: Any) -> BlockingPair:
        return BlockingPair(self._loop, self._run(self._client.pinned(**named)))

    def close(self) -> None:
        if not self._loop.is_closed():
            self._run(self._client.close())
            self._end()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        if not inspect.iscoroutinefunction(value):
            return value
        return lambda *args, **named: self._run(value(*args, **named))

    def __enter__(self) -> BlockingRecommender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, work: Any) -> Any:
        return self._loop.run_until_complete(work)

    def _end(self) -> None:
        self._run(self._loop.shutdown_default_executor())
        self._loop.close()


class BlockingPair(BlockingRecommender):
    """What `pinned` gives, in the loop of its recommender."""

    def __init__(self, loop: asyncio.AbstractEventLoop, client: AsyncRecommender) -> None:
        self._loop, self._client = loop, client

    def close(self) -> None:
        self._run(self._client.close())


RECOMMENDERS: dict[str, Any] = {"threads": Recommender, "asyncio": BlockingRecommender}
