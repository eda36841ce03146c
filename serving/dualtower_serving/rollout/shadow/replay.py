"""Asks two versions the same requests, in turn, and keeps what came and how long it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np

from dualtower.errors import BundleMismatch
from dualtower.progress import track
from dualtower_clients import (
    CallPolicy,
    ClientError,
    Recommendation,
    Recommender,
    ServerUnreachable,
)
from dualtower_clients.settings import DEFAULT_SETTINGS, ChannelSettings
from dualtower_serving.rollout.shadow.drift import Vectors
from dualtower_serving.rollout.shadow.requests import Request

__all__ = ["Replay", "Side", "replay"]

T = TypeVar("T")

_WARM_CALLS = 3  # of each version, unmeasured
_CHUNK = 32  # texts in one call


@dataclass
class Side:
    """What one version answered.

    Attributes:
        version: of the pair.
        elapsed_ms: of each recommendation that came.
        lists: item ids by the number of the request.
        errors: how often which kind of error came.
        users, items: vectors of the histories and of the texts.
    """

    version: int
    elapsed_ms: list[float] = field(default_factory=list)
    lists: dict[int, tuple[str, ...]] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    users: dict[int, Vectors] = field(default_factory=dict)
    items: dict[str, Vectors] = field(default_factory=dict)

    @property
    def error_rate(self) -> float:
        """Errors per call of any kind."""
        failed = sum(self.errors.values())
        calls = failed + len(self.lists) + len(self.users) + len(self.items)
        return failed / calls if calls else 0.0


@dataclass(frozen=True)
class Replay:
    """Both sides, and what they were asked."""

    old: Side
    new: Side
    requests: int
    texts: int


def replay(
    address: str,
    old: int,
    new: int,
    requests: Sequence[Request],
    *,
    k: int = 10,
    timeout_s: float = 10.0,
    settings: ChannelSettings = DEFAULT_SETTINGS,
) -> Replay:
    """Runs the requests against two loaded versions of one server.

    Who is asked first changes from request to request, so that neither version always finds the
    caches as the other left them.

    Args:
        address: of the server.
        old, new: the versions.
        requests: what to ask.
        k: how long the lists are, at most.
        timeout_s: of each call.
        settings: of the connections.

    Raises:
        ServerUnreachable: the server does not answer.
    """
    texts = list(dict.fromkeys(text for one in requests for text in one.texts))[:512]
    with (
        _pair(address, old, timeout_s, settings) as old_pair,
        _pair(address, new, timeout_s, settings) as new_pair,
    ):
        sides = [(Side(old), old_pair), (Side(new), new_pair)]
        k = min(k, *(min(o.k_max for o in pair.describe().values()) for _, pair in sides))
        for one in requests[:_WARM_CALLS]:
            for _, pair in sides:
                _attempt(Side(0), partial(_recommend, pair, one, k))
        for number, one in enumerate(track(requests, "requests")):
            for side, pair in sides[:: 1 if number % 2 else -1]:
                _ask(side, pair, number, one, k)
        for begin in range(0, len(texts), _CHUNK):
            chunk = texts[begin : begin + _CHUNK]
            for side, pair in sides:
                found = _attempt(side, partial(pair.embed_items, chunk))
                if found is not None:
                    side.items |= dict(zip(chunk, np.array(found.vectors), strict=True))
    return Replay(sides[0][0], sides[1][0], len(requests), len(texts))


def _pair(address: str, version: int, timeout_s: float, settings: ChannelSettings) -> Recommender:
    """Without retries: an error that a second attempt would hide is what is looked for."""
    return Recommender(
        address,
        version=version,
        timeout_s=timeout_s,
        settings=settings,
        policy=CallPolicy(retry=None),
    )


def _ask(side: Side, pair: Recommender, number: int, request: Request, k: int) -> None:
    begin_ns = time.monotonic_ns()
    answer = _attempt(side, partial(_recommend, pair, request, k))
    if answer is not None:
        side.elapsed_ms.append((time.monotonic_ns() - begin_ns) / 1e6)
        side.lists[number] = answer.item_ids
    embed, history = (
        (pair.embed_users_by_ids, request.item_ids)
        if request.item_ids
        else (pair.embed_users, request.texts)
    )
    user = _attempt(side, partial(embed, [history]))
    if user is not None:
        side.users[number] = np.array(user.vectors[0])


def _recommend(pair: Recommender, request: Request, k: int) -> Recommendation:
    if request.item_ids:
        return pair.recommend_by_ids(request.item_ids, k=k, exclude=request.exclude)
    return pair.recommend(request.texts, k=k, exclude=request.exclude)


def _attempt(side: Side, call: Callable[[], T]) -> T | None:
    """An answer, or None and one error more; a server that is gone ends the run."""
    try:
        return call()
    except ServerUnreachable:
        raise
    except (ClientError, BundleMismatch) as error:
        kind = type(error).__name__
        side.errors[kind] = side.errors.get(kind, 0) + 1
        return None
