"""The client of a served bundle: recommendations and embeddings, with the pair checked."""

from __future__ import annotations

import os
import threading
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
from dualtower_clients.results import Description, Embeddings, Recommendation, VersionStatus
from dualtower_clients.serving_client import ServingClient
from dualtower_clients.settings import (
    DEFAULT_POLICY,
    DEFAULT_SETTINGS,
    DEFAULT_TIMEOUT_S,
    CallPolicy,
    ChannelSettings,
    Metadata,
)

__all__ = ["Recommender"]

if TYPE_CHECKING:
    from dualtower_clients._edge_client import EdgeClient

_T = TypeVar("_T")
Client: TypeAlias = "ServingClient | EdgeClient"
Open: TypeAlias = "Callable[[str | Sequence[str]], Client]"


class Recommender:
    """Asks the three models of one bundle. Threads may share one recommender.

    On opening, and again whenever a response comes from another version than before, after a
    silence or after the server was lost, the models are asked for their fingerprint. Models of
    different bundles, or of another bundle than the caller expects, are an error: their vectors
    live in different spaces. Of several addresses each is checked by itself, when it answers.

    Without a label the server answers with the highest version that it has, of each model for
    itself, so that while a new pair loads the models may differ. Under a label that `dualtower
    rollout` moves they change together. Each answer names its version and fingerprint; results of
    several calls that are brought together, such as users and items, are asked of one pair by
    `pinned`.

    A history is most recent first. Its repeats are dropped, and only its first `history_items`
    entries (see `describe`) count. Items of the history are never recommended.

    Args:
        address: as `ServingClient` takes it, a list of replicas too. Replicas behind one name
            ("dns:///NAME:PORT") cannot be told apart but by their versions, so give each bundle a
            version of its own; while a rollout is under way a check may have to ask several times.
        timeout_s: the deadline of a call that names none itself, checks included.
        wait_s: wait so long for a server that is still starting.
        expect_fingerprint: of the bundle or index that the caller holds; a server with another
            one is refused.
        label: ask for the version with this label, such as "stable".
        version: ask for this version of all three models.
        settings: TLS, token, metadata, compression, keep-alive, limits, interceptors.
        policy: retries, hedges, balancing.

    Raises:
        BundleMismatch: the models do not belong together, or not to the caller.
        ClientError: see `dualtower_clients.errors`.

    Example:
        with Recommender("localhost:8500") as recommender:
            best = recommender.recommend(["salted butter 250 g", "rye bread"], k=5)
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
        def served_at(where: str | Sequence[str]) -> ServingClient:
            return ServingClient(where, timeout_s=timeout_s, settings=settings, policy=policy)

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
    ) -> Recommender:
        """The same without a server, by the files for a phone: for tests, and where no server is.

        Answers are a server's but for what the format of the towers costs, which the gates of the
        export have measured. It needs the extra `edge`, and for histories of texts pyarrow. Calls
        compute in the thread that makes them, and take turns; a deadline ends the waiting for a
        turn, but nothing that computes.

        Args:
            bundle: what `dualtower export` wrote.
            variant: format of the towers, such as "float32"; None takes the smallest that is there.
            threads: of each interpreter.
            timeout_s: the deadline of a call that names none itself.

        Raises:
            UnavailableError: the extra is not installed.
            BundleError: a file is missing or damaged.
            BundleMismatch: a file belongs to another bundle.

        Example:
            with Recommender.from_edge("bundle") as recommender:
                recommender.recommend_by_ids(["cj32553"], k=5).item_ids
        """
        from dualtower_clients._edge_client import EdgeClient
        from dualtower_clients._edge_models import EdgeModels

        models = EdgeModels(bundle, variant=variant, threads=threads)
        models.load()
        plans = Recommending(expected=None, label=None, version=None)
        return cls._begun(
            lambda where: EdgeClient(models, timeout_s=timeout_s), models.address, plans
        )

    @classmethod
    def _begun(
        cls,
        open_client: Open,
        address: str,
        plans: Recommending,
        *,
        budget: Budget | None = None,
        metadata: Metadata = (),
    ) -> Recommender:
        recommender = cls.__new__(cls)
        recommender._begin(open_client, address, plans, budget=budget, metadata=metadata)
        return recommender

    def _begin(
        self,
        open_client: Open,
        address: str | Sequence[str],
        plans: Recommending,
        *,
        wait_s: float = 0.0,
        budget: Budget | None = None,
        metadata: Metadata = (),
    ) -> None:
        """Opens a client, and checks the pair that is there."""
        self._open, self._plans = open_client, plans
        self._client = open_client(address)
        self._replicas: dict[str, Client] = {}
        self._checking = threading.Lock()
        self._client.watch_connections(plans.connection_lost)
        try:
            if wait_s:
                self._client.wait_until_available(MODELS, timeout_s=wait_s)
            self._follow(plans.answering(), budget or self._budget(None), metadata)
        except BaseException:
            self.close()
            raise

    @property
    def address(self) -> str:
        """Where it asks, in words."""
        return self._client.address

    def recommend(
        self,
        history: Sequence[str],
        *,
        k: int = 10,
        exclude: Sequence[str] = (),
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> Recommendation:
        """The best `k` items for a history of item texts, most recent first; it may be empty.

        Args:
            history: texts, also of items that the catalogue does not hold.
            k: how many, at most the bundle's `k_max`.
            exclude: item ids that must not be recommended.
            timeout_s: the deadline, in place of the client's own.
            metadata: pairs that go with this call, beside those of the settings.
        """
        return self.recommend_batch(
            [history], k=k, exclude=[exclude], timeout_s=timeout_s, metadata=metadata
        )[0]

    def recommend_batch(
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
        return self._run(plan, timeout_s, metadata)

    def recommend_by_ids(
        self,
        item_ids: Sequence[str],
        *,
        k: int = 10,
        exclude: Sequence[str] = (),
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> Recommendation:
        """As `recommend`, for a history of item ids; ids that the catalogue lacks are ignored."""
        return self.recommend_batch_by_ids(
            [item_ids], k=k, exclude=[exclude], timeout_s=timeout_s, metadata=metadata
        )[0]

    def recommend_batch_by_ids(
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
        return self._run(plan, timeout_s, metadata)

    def embed_users(
        self,
        histories: Sequence[Sequence[str]],
        *,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> Embeddings:
        """A vector for each history of item texts, [histories, dim] float32."""
        return self._run(self._plans.embed_histories(BY_TEXTS, histories), timeout_s, metadata)

    def embed_users_by_ids(
        self,
        histories: Sequence[Sequence[str]],
        *,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> Embeddings:
        """A vector for each history of item ids, [histories, dim] float32."""
        return self._run(self._plans.embed_histories(BY_IDS, histories), timeout_s, metadata)

    def embed_items(
        self, texts: Sequence[str], *, timeout_s: float | None = None, metadata: Metadata = ()
    ) -> Embeddings:
        """A vector for each item text, [texts, dim] float32."""
        return self._run(self._plans.embed_items(texts), timeout_s, metadata)

    def describe(
        self, *, timeout_s: float | None = None, metadata: Metadata = ()
    ) -> Mapping[str, Description]:
        """What the three models say of themselves, asked anew, by model name.

        Of several addresses, the models of whichever answers.
        """
        return self._run(self._plans.describe(), timeout_s, metadata)

    def status(
        self, *, timeout_s: float | None = None, metadata: Metadata = ()
    ) -> Mapping[str, tuple[VersionStatus, ...]]:
        """The versions of the three models and their states, by model name."""
        budget = self._budget(timeout_s)
        return {
            model: self._client.status(model, timeout_s=budget.left_s(), metadata=metadata)
            for model in MODELS
        }

    def pinned(self, *, timeout_s: float | None = None, metadata: Metadata = ()) -> Recommender:
        """A client of the pair that answers now, also after the label has moved on.

        Of several addresses it is a client of the one that answers now. Its calls end as
        ModelNotFound once that pair is unloaded.

        Example:
            with recommender.pinned() as pair:
                scores = pair.embed_users(histories).vectors @ pair.embed_items(texts).vectors.T
        """
        budget = self._budget(timeout_s)
        pair: Pair = self._follow(self._plans.answering(), budget, metadata)
        plans = Recommending(expected=pair.fingerprint, label=None, version=pair.version)
        return self._begun(self._open, pair.address, plans, budget=budget, metadata=metadata)

    def close(self) -> None:
        """Ends the connections; running calls end as CallCancelled."""
        self._client.close()
        for client in list(self._replicas.values()):
            client.close()

    def __enter__(self) -> Recommender:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _budget(self, timeout_s: float | None) -> Budget:
        return Budget(self._client.timeout_s if timeout_s is None else timeout_s, self.address)

    def _run(self, plan: Steps[_T], timeout_s: float | None, metadata: Metadata = ()) -> _T:
        return self._follow(plan, self._budget(timeout_s), metadata)

    def _follow(self, plan: Steps[_T], budget: Budget, metadata: Metadata) -> _T:
        """Does what the plan says, step by step, and tells it how each step ended."""
        try:
            step = next(plan)
            while True:
                try:
                    outcome = self._do(step, budget, metadata)
                except DualtowerError as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(outcome)
        except StopIteration as end:
            result: _T = end.value
            return result

    def _do(self, step: Step, budget: Budget, metadata: Metadata) -> Any:
        if isinstance(step, Need):
            return self._plans.covering(step) or self._checked(step, budget, metadata)
        return self._client_at(step.address).predict(
            step.model,
            step.inputs,
            signature=step.signature,
            version=step.version,
            label=step.label,
            timeout_s=budget.left_s(),
            metadata=metadata,
        )

    def _checked(self, need: Need, budget: Budget, metadata: Metadata) -> Pair:
        """One thread asks, and the others wait for what it finds."""
        if not self._checking.acquire(timeout=min(budget.left_s(), threading.TIMEOUT_MAX)):
            raise budget.is_over()
        try:
            return self._follow(self._plans.check(need), budget, metadata)
        finally:
            self._checking.release()

    def _client_at(self, address: str | None) -> Client:
        """Of one address, to which gRPC has its connection already."""
        if address is None or len(self._client.addresses) == 1:
            return self._client
        if address not in self._replicas:  # only one thread at a time checks
            self._replicas[address] = self._open(address)
        return self._replicas[address]
