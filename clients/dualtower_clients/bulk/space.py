"""Which embedding space a server answers from, and that it stays the same one.

connect    the three models: one fingerprint, and the caller's
admit      an answer: of a version that was asked already, or that says the same fingerprint
confirm    before a shard is published: whoever answers now still says the same
"""

from __future__ import annotations

import asyncio

from dualtower.errors import BundleMismatch
from dualtower_clients import _responses
from dualtower_clients._calls import CallFacts
from dualtower_clients._pair import check_pair
from dualtower_clients.async_serving_client import AsyncServingClient
from dualtower_clients.bulk.options import ITEM_TOWER, USER_TOWER, BulkOptions
from dualtower_clients.results import Description, Prediction

__all__ = ["Space"]

_MODELS = (USER_TOWER, ITEM_TOWER, "recommender")
_LABEL_ATTEMPTS = 3  # a label may move while its three models are asked


class Space:
    """The space of a run.

    Args:
        client: that asks.
        options: which model, and which version of it.

    Attributes:
        fingerprint, dim, history_items: of the bundle that is served.
    """

    def __init__(self, client: AsyncServingClient, options: BulkOptions) -> None:
        self._client = client
        self._options = options
        self._known: set[int] = set()  # versions of the run's fingerprint
        self._checking = asyncio.Lock()
        self.fingerprint = ""
        self.dim = 0
        self.history_items = 0

    async def connect(self) -> None:
        """Asks the three models.

        Raises:
            BundleMismatch: they do not belong together, or not to the caller.
            ClientError: the server cannot be asked.
        """
        for attempt in range(1, _LABEL_ATTEMPTS + 1):
            described = [await self._describe(model, None) for model in _MODELS]
            try:
                pair = check_pair(
                    dict(zip(_MODELS, described, strict=True)),
                    address=self._client.address,
                    expected=self._options.expect_fingerprint,
                )
            except BundleMismatch:
                if self._options.label is None or attempt == _LABEL_ATTEMPTS:
                    raise
                continue
            break
        self.fingerprint, self.dim = pair.fingerprint, pair.dim
        self.history_items = pair.history_items
        self._known = {pair.descriptions[self._options.model].version}

    async def admit(self, answer: Prediction) -> None:
        """Takes an answer of the run's space, and no other.

        Only the model that embeds is asked: its fingerprint says which space its vectors are of.

        Raises:
            BundleMismatch: it is of another one.
        """
        if answer.failures:  # the server may have been lost; another one may have come
            self.forget()
        if answer.version in self._known:
            return
        async with self._checking:
            if answer.version not in self._known:
                self._check(await self._describe(self._options.model, answer.version))
                self._known.add(answer.version)

    async def confirm(self) -> None:
        """Asks whoever answers now.

        A server may be replaced by one with another bundle under the same version; the first
        answers of that one cannot be told from those before. Nothing of them is published.

        Raises:
            BundleMismatch: another bundle is served.
        """
        self._check(await self._describe(self._options.model, None))

    def forget(self) -> None:
        """The server was lost: whoever answers next has to be asked."""
        self._known = set()

    def _check(self, said: Description) -> None:
        if said.fingerprint != self.fingerprint:
            raise BundleMismatch(
                expected=f"{self.fingerprint} (of this run)",
                found=f"{said.fingerprint} ({said.model} version {said.version})",
                where=self._client.address,
                repair="the shards that are complete stay; serve that bundle again and run the "
                "same command to go on, or begin anew with --restart",
            )

    async def _describe(self, model: str, version: int | None) -> Description:
        version = self._options.version if version is None else version
        answer = await self._client.predict(
            model,
            {},
            signature="describe",
            version=version,
            label=self._options.label if version is None else None,
        )
        facts = CallFacts(self._client.address, model, self._client.timeout_s)
        return _responses.description(answer, facts)
