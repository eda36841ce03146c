"""`Recommender` for asyncio."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from dualtower.errors import DualtowerError
from dualtower_clients import _given
from dualtower_clients._pair import Pair
from dualtower_clients._recommending import (
    BY_IDS,
    BY_TEXTS,
    MODELS,
    Budget,
    Need,
    Recommending,
    Step,
    Steps,
)
from dualtower_clients.async_serving_client import AsyncServingClient
from dualtower_clients.results import Description, Embeddings, Recommendation, VersionStatus
from dualtower_clients.settings import (
    DEFAULT_POLICY,
    DEFAULT_SETTINGS,
    DEFAULT_TIMEOUT_S,
    CallPolicy,
    ChannelSettings,
    Metadata,
)

__all__ = ["AsyncRecommender"]

if TYPE_CHECKING:
    from dualtower_clients._async_edge_client import AsyncEdgeClient

_T = TypeVar("_T")
Client: TypeAlias = "AsyncServingClient | AsyncEdgeClient"
Open: TypeAlias = "Callable[[str | Sequence[str]], Client]"


class AsyncRecommender:
    """As `Recommender`, for asyncio: the same arguments, results and errors.

    It belongs to the event loop of its first call. `async with` waits for the server and checks the
    pair; without it, `connect` or the first call does.

    Args:
        address: as `Recommender` takes it.
        timeout_s: the deadline of a call that names none itself, checks included.
        wait_s: wait so long for a server that is still starting.
        expect_fingerprint: of the bundle or index that the caller holds.
        label: ask for the version with this label, such as "stable".
        version: ask for this version of all three models.
        settings: as of `Recommender`, with the interceptors of `grpc.aio`.
        policy: retries, hedges, balancing.

    Raises:
        UsageError: the address is none, or a label and a version are given.

    Example:
        async with AsyncRecommender("localhost:8500") as recommender:
            best = await recommender.recommend(["salted butter 250 g", "rye bread"], k=5)
            best.item_ids, best.scores, best.fingerprint
    """

    def __init__(
        self,
        address: str | Sequence[str],
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        wait_s: float = 0.0,
        expect_fingerprint: str | None = None,
        label: str | None = None,
        version: int | None = None,
        settings: ChannelSettings = DEFAULT_SETTINGS,
        policy: CallPolicy = DEFAULT_POLICY,
    ) -> None:
        def served_at(where: str | Sequence[str]) -> AsyncServingClient:
            return AsyncServingClient(where, timeout_s=timeout_s, settings=settings, policy=policy)

        plans = Recommending(expected=expect_fingerprint, label=label, version=version)
        self._begin(served_at, address, plans, wait_s=_given.seconds(wait_s, "wait_s"))

    @classmethod
    def from_edge(
        cls,
        bundle: str | os.PathLike[str],
        *,
        variant: str | None = None,
        threads: int = 1,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> AsyncRecommender:
        """The same without a server, as `Recommender.from_edge`.

        A thread of its own computes, a call at a time and in their order, and the event loop goes
        on meanwhile. The first call, or `connect`, has the files read there. A call ends at its
        deadline, when its task is cancelled, and when the recommender is closed; it is dropped if
        its turn has not come. What computes cannot be stopped: it runs to its end in its thread,
        for nobody, and calls that come after it wait for so long.

        Args:
            bundle: what `dualtower export` wrote.
            variant: format of the towers, such as "float32"; None takes the smallest that is there.
            threads: of each interpreter.
            timeout_s: the deadline of a call that names none itself, of the first one with the
                reading of the files.

        Raises:
            UnavailableError: the extra `edge` is not installed.
            BundleError: it is no bundle. That a file is missing or damaged, the first call tells.

        Example:
            async with AsyncRecommender.from_edge("bundle") as recommender:
                (await recommender.recommend_by_ids(["cj32553"], k=5)).item_ids
        """
        from dualtower_clients._async_edge_client import AsyncEdgeClient
        from dualtower_clients._edge_models import EdgeModels

        models = EdgeModels(bundle, variant=variant, threads=threads)
        plans = Recommending(expected=None, label=None, version=None)
        return cls._begun(
            lambda where: AsyncEdgeClient(models, timeout_s=timeout_s), models.address, plans
        )

    @classmethod
    def _begun(cls, open_client: Open, address: str, plans: Recommending) -> AsyncRecommender:
        recommender = cls.__new__(cls)
        recommender._begin(open_client, address, plans)
        return recommender

    def _begin(
        self,
        open_client: Open,
        address: str | Sequence[str],
        plans: Recommending,
        *,
        wait_s: float = 0.0,
    ) -> None:
        self._open, self._plans, self._wait_s = open_client, plans, wait_s
        self._client = open_client(address)
        self._replicas: dict[str, Client] = {}
        self._checking = asyncio.Lock()
        self._client.watch_connections(plans.connection_lost)

    @property
    def address(self) -> str:
        """Where it asks, in words."""
        return self._client.address

    async def connect(self) -> None:
        """Waits for the server for `wait_s`, and checks the pair.

        Raises:
            BundleMismatch: the models do not belong together, or not to the caller.
            ClientError: see `dualtower_clients.errors`.
        """
        if self._wait_s:
            await self._client.wait_until_available(MODELS, timeout_s=self._wait_s)
        await self._run(self._plans.answering(), None)

    async def recommend(
        self,
        history: Sequence[str],
        *,
        k: int = 10,
        exclude: Sequence[str] = (),
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> Recommendation:
        """The best `k` items for a history of texts; arguments as `Recommender.recommend`."""
        batch = await self.recommend_batch(
            [history], k=k, exclude=[exclude], timeout_s=timeout_s, metadata=metadata
        )
        return batch[0]

    async def recommend_batch(
        self,
        histories: Sequence[Sequence[str]],
        *,
        k: int = 10,
        exclude: Sequence[Sequence[str]] | None = None,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> list[Recommendation]:
        """As `recommend`, for several histories in one call; `exclude` has a list for each."""
        plan = self._plans.recommend(BY_TEXTS, histories, k=k, exclude=exclude)
        return await self._run(plan, timeout_s, metadata)

    async def recommend_by_ids(
        self,
        item_ids: Sequence[str],
        *,
        k: int = 10,
        exclude: Sequence[str] = (),
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> Recommendation:
        """As `recommend`, for a history of item ids; ids that the catalogue lacks are ignored."""
        batch = await self.recommend_batch_by_ids(
            [item_ids], k=k, exclude=[exclude], timeout_s=timeout_s, metadata=metadata
        )
        return batch[0]

    async def recommend_batch_by_ids(
        self,
        histories: Sequence[Sequence[str]],
        *,
        k: int = 10,
        exclude: Sequence[Sequence[str]] | None = None,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> list[Recommendation]:
        """As `recommend_by_ids`, for several histories in one call."""
        plan = self._plans.recommend(BY_IDS, histories, k=k, exclude=exclude)
        return await self._run(plan, timeout_s, metadata)

    async def embed_users(
        self,
        histories: Sequence[Sequence[str]],
        *,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> Embeddings:
        """A vector for each history of item texts, [histories, dim] float32."""
        return await self._run(
            self._plans.embed_histories(BY_TEXTS, histories), timeout_s, metadata
        )

    async def embed_users_by_ids(
        self,
        histories: Sequence[Sequence[str]],
        *,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> Embeddings:
        """A vector for each history of item ids, [histories, dim] float32."""
        return await self._run(self._plans.embed_histories(BY_IDS, histories), timeout_s, metadata)

    async def embed_items(
        self, texts: Sequence[str], *, timeout_s: float | None = None, metadata: Metadata = ()
    ) -> Embeddings:
        """A vector for each item text, [texts, dim] float32."""
        return await self._run(self._plans.embed_items(texts), timeout_s, metadata)

    async def describe(
        self, *, timeout_s: float | None = None, metadata: Metadata = ()
    ) -> Mapping[str, Description]:
        """What the three models say of themselves, asked anew, by model name.

        Of several addresses, the models of whichever answers.
        """
        return await self._run(self._plans.describe(), timeout_s, metadata)

    async def status(
        self, *, timeout_s: float | None = None, metadata: Metadata = ()
    ) -> Mapping[str, tuple[VersionStatus, ...]]:
        """The versions of the three models and their states, by model name."""
        budget = self._budget(timeout_s)
        return {
            model: await self._client.status(model, timeout_s=budget.left_s(), metadata=metadata)
            for model in MODELS
        }

    async def pinned(
        self, *, timeout_s: float | None = None, metadata: Metadata = ()
    ) -> AsyncRecommender:
        """A client of the pair that answers now, as `Recommender.pinned` gives it.

        Example:
            async with await recommender.pinned() as pair:
                users, items = await pair.embed_users(histories), await pair.embed_items(texts)
        """
        pair: Pair = await self._run(self._plans.answering(), timeout_s, metadata)
        plans = Recommending(expected=pair.fingerprint, label=None, version=pair.version)
        return self._begun(self._open, pair.address, plans)

    async def close(self) -> None:
        """Ends the connections; running calls end as CallCancelled."""
        await asyncio.gather(
            self._client.close(), *(client.close() for client in self._replicas.values())
        )

    async def __aenter__(self) -> AsyncRecommender:
        try:
            await self.connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _budget(self, timeout_s: float | None) -> Budget:
        return Budget(self._client.timeout_s if timeout_s is None else timeout_s, self.address)

    async def _run(self, plan: Steps[_T], timeout_s: float | None, metadata: Metadata = ()) -> _T:
        return await self._follow(plan, self._budget(timeout_s), metadata)

    async def _follow(self, plan: Steps[_T], budget: Budget, metadata: Metadata) -> _T:
        """Does what the plan says, step by step, and tells it how each step ended."""
        try:
            step = next(plan)
            while True:
                try:
                    outcome = await self._do(step, budget, metadata)
                except DualtowerError as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(outcome)
        except StopIteration as end:
            result: _T = end.value
            return result

    async def _do(self, step: Step, budget: Budget, metadata: Metadata) -> Any:
        if isinstance(step, Need):
            return self._plans.covering(step) or await self._checked(step, budget, metadata)
        return await self._client_at(step.address).predict(
            step.model,
            step.inputs,
            signature=step.signature,
            version=step.version,
            label=step.label,
            timeout_s=budget.left_s(),
            metadata=metadata,
        )

    async def _checked(self, need: Need, budget: Budget, metadata: Metadata) -> Pair:
        """One task asks, and the others wait for what it finds."""
        try:
            await asyncio.wait_for(self._checking.acquire(), budget.left_s())
        except asyncio.TimeoutError:
            raise budget.is_over() from None
        try:
            return await self._follow(self._plans.check(need), budget, metadata)
        finally:
            self._checking.release()

    def _client_at(self, address: str | None) -> Client:
        """Of one address, to which gRPC has its connection already."""
        if address is None or len(self._client.addresses) == 1:
            return self._client
        if address not in self._replicas:  # only one task at a time checks
            self._replicas[address] = self._open(address)
        return self._replicas[address]
