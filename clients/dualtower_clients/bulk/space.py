"""Which embedding space the servers answer from, and that it stays the same one.

connect    the three models of each server: one fingerprint, and the caller's
admit      an answer: of a server and a version that were asked, or that say the same fingerprint
confirm    before a shard is published: whoever answers now still says the same
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from dualtower.errors import BundleMismatch
from dualtower_clients import _responses
from dualtower_clients._calls import CallFacts
from dualtower_clients._pair import Pair, check_pair
from dualtower_clients._recommending import instance_of
from dualtower_clients.async_serving_client import AsyncServingClient
from dualtower_clients.bulk.options import ITEM_TOWER, USER_TOWER, BulkOptions
from dualtower_clients.errors import RetryableError, ServerUnreachable
from dualtower_clients.results import Description, Prediction
from dualtower_clients.settings import DEFAULT_TIMEOUT_S

__all__ = ["Space"]

T = TypeVar("T")

_MODELS = (USER_TOWER, ITEM_TOWER, "recommender")
_LABEL_ATTEMPTS = 3  # a label may move while its three models are asked
# Within it no server stops and another one starts at its address; a longer silence may hide that.
_SILENCE_S = 1.0


class Space:
    """The space of a run.

    Args:
        clients: one for each server, by its address.
        options: which model, and which version of it.

    Attributes:
        fingerprint, dim, history_items: of the bundle that is served.
    """

    def __init__(self, clients: Mapping[str, AsyncServingClient], options: BulkOptions) -> None:
        self._clients = clients
        self._options = options
        # one of several that does not answer is not waited for as long as the only one
        self._timeout_s = options.timeout_s
        if len(clients) > 1:
            self._timeout_s = min(options.timeout_s, DEFAULT_TIMEOUT_S)
        self._known: set[tuple[str, int, str]] = set()  # addresses, versions, runs of servers
        self._heard_s: dict[str, float] = {}
        self._era = 0  # counts how often all was forgotten
        self._checking: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.fingerprint = ""
        self.dim = 0
        self.history_items = 0

    async def connect(self) -> None:
        """Asks the three models of each server; of several, those that answer.

        Raises:
            BundleMismatch: they do not belong together, or not to the caller.
            ClientError: no server can be asked.
        """
        first, *others = await self._of_those_that_answer(self._pair_at)
        for other in others:
            if other.fingerprint != first.fingerprint:
                raise BundleMismatch(
                    expected=f"{first.fingerprint} (at {first.address})",
                    found=f"{other.fingerprint} (at {other.address})",
                    where=other.address,
                    repair="serve one bundle at all addresses, or leave one of them out",
                )
        self.fingerprint, self.dim = first.fingerprint, first.dim
        self.history_items = first.history_items
        for pair in (first, *others):
            version = pair.descriptions[self._options.model].version
            self._add(pair.address, version, pair.instance)

    async def admit(self, answer: Prediction) -> None:
        """Takes an answer of the run's space, and no other.

        Only the model that embeds is asked: its fingerprint says which space its vectors are of.

        Raises:
            BundleMismatch: it is of another one.
            ClientError: its server cannot be asked any more; the answer is worth nothing then.
        """
        if answer.failures:  # a server may have been lost; another one may have come
            self.forget()
        if self._covers(answer):
            return
        async with self._checking[answer.address]:
            if not self._covers(answer):
                era = self._era
                said, instance = await self._describe(
                    self._options.model, answer.version, answer.address
                )
                self._check(said, answer.address)
                if instance != instance_of(answer):
                    raise ServerUnreachable(
                        f"the server at {answer.address} was replaced before it could be asked "
                        "whose vectors it gave; ask again",
                        address=answer.address,
                        model=self._options.model,
                    )
                if era == self._era:
                    self._add(answer.address, answer.version, instance)

    async def confirm(self) -> None:
        """Asks whoever answers now.

        A server may be replaced by one with another bundle under the same version; the first
        answers of that one cannot be told from those before. Nothing of them is published. One of
        several that is lost is left out: what it answered before was admitted.

        Raises:
            BundleMismatch: another bundle is served.
            ClientError: no server can be asked.
        """

        async def ask(address: str) -> None:
            said, _ = await self._describe(self._options.model, None, address)
            self._check(said, address)

        await self._of_those_that_answer(ask)

    def forget(self) -> None:
        """A server was lost: whoever answers next has to be asked."""
        self._known = set()
        self._era += 1

    def _covers(self, answer: Prediction) -> bool:
        """Whether this server and version were asked, and have answered since without a pause."""
        if (answer.address, answer.version, instance_of(answer)) not in self._known:
            return False
        now_s = time.monotonic()
        if now_s - self._heard_s[answer.address] >= _SILENCE_S:
            return False
        self._heard_s[answer.address] = now_s
        return True

    def _add(self, address: str, version: int, instance: str) -> None:
        self._known.add((address, version, instance))
        self._heard_s[address] = time.monotonic()

    def _check(self, said: Description, address: str) -> None:
        if said.fingerprint != self.fingerprint:
            raise BundleMismatch(
                expected=f"{self.fingerprint} (of this run)",
                found=f"{said.fingerprint} ({said.model} version {said.version})",
                where=address,
                repair="the shards that are complete stay; serve that bundle again and run the "
                "same command to go on, or begin anew with --restart",
            )

    async def _of_those_that_answer(self, ask: Callable[[str], Awaitable[T]]) -> list[T]:
        """What the servers say, without those that are lost, unless all of them are."""
        found = await asyncio.gather(*map(ask, self._clients), return_exceptions=True)
        said = [one for one in found if not isinstance(one, BaseException)]
        failures = [one for one in found if isinstance(one, BaseException)]
        for failure in failures:
            if not said or not isinstance(failure, RetryableError):
                raise failure
        return said

    async def _pair_at(self, address: str) -> Pair:
        for attempt in range(1, _LABEL_ATTEMPTS + 1):
            said = {model: await self._describe(model, None, address) for model in _MODELS}
            try:
                return check_pair(
                    {model: description for model, (description, _) in said.items()},
                    address=address,
                    expected=self._options.expect_fingerprint,
                    instance=said[self._options.model][1],
                )
            except BundleMismatch:
                if self._options.label is None or attempt == _LABEL_ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _describe(
        self, model: str, version: int | None, address: str
    ) -> tuple[Description, str]:
        """What a model says of itself, and the run of the server that says it."""
        version = self._options.version if version is None else version
        answer = await self._clients[address].predict(
            model,
            {},
            signature="describe",
            version=version,
            label=self._options.label if version is None else None,
            timeout_s=self._timeout_s,
        )
        facts = CallFacts(address, model, self._timeout_s)
        return _responses.description(answer, facts), instance_of(answer)
