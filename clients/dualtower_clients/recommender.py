"""The client of a served bundle: recommendations and embeddings, with the pair checked."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dualtower.errors import BundleMismatch, UsageError
from dualtower_clients import _requests, _responses
from dualtower_clients._calls import CallFacts
from dualtower_clients._pair import Pair, check_pair
from dualtower_clients.errors import ModelNotFound, ServerUnreachable
from dualtower_clients.results import Description, Embeddings, Prediction, Recommendation
from dualtower_clients.serving_client import ServingClient
from dualtower_clients.settings import (
    DEFAULT_POLICY,
    DEFAULT_SETTINGS,
    DEFAULT_TIMEOUT_S,
    CallPolicy,
    ChannelSettings,
)

__all__ = ["Recommender"]

_MODELS = ("user_tower", "item_tower", "recommender")
_SWAP_ATTEMPTS = 3
_KNOWN_PAIRS = 8  # of a client under a label; each costs three calls when it is met again


class Recommender:
    """Asks the three models of one bundle. Threads may share one recommender.

    On opening, and again whenever a response comes from another version than before or the server
    was lost, all three models are asked for their fingerprint. Models of different bundles, or of
    another bundle than the caller expects, are an error: their vectors live in different spaces.

    Without a label the server answers with the highest version that it has, of each model for
    itself, so that while a new pair loads the models may differ. Under a label that `dualtower
    rollout` moves they change together. Each answer names its version and fingerprint; results of
    several calls that are brought together, such as users and items, are asked of one pair by
    `pinned`.

    A history is most recent first. Its repeats are dropped, and only its first `history_items`
    entries (see `describe`) count. Items of the history are never recommended.

    Args:
        address: "HOST:PORT", "unix:PATH" or any target that gRPC resolves.
        timeout_s: the deadline of a call that names none itself.
        wait_s: wait so long for a server that is still starting.
        expect_fingerprint: of the bundle or index that the caller holds; a server with another
            one is refused.
        label: ask for the version with this label, such as "stable".
        version: ask for this version of all three models.
        settings: TLS, token, metadata, compression, keep-alive, limits, interceptors.
        policy: retries and hedges.

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
        address: str,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        wait_s: float = 0.0,
        expect_fingerprint: str | None = None,
        label: str | None = None,
        version: int | None = None,
        settings: ChannelSettings = DEFAULT_SETTINGS,
        policy: CallPolicy = DEFAULT_POLICY,
    ) -> None:
        if not isinstance(address, str):  # each of several servers may serve another bundle
            raise UsageError(f"a Recommender has one address, got {address!r}")
        if label is not None and version is not None:
            raise UsageError(f"give the label {label!r} or the version {version}, not both")
        self._settings, self._policy = settings, policy
        self._client = ServingClient(address, timeout_s=timeout_s, settings=settings, policy=policy)
        self._expected = expect_fingerprint
        self._label, self._version = label, version
        self._checking = threading.Lock()
        self._pair: Pair | None = None
        self._known: dict[int, Pair] = {}  # by version, of a client under a label
        try:
            if wait_s:
                self._client.wait_until_available(_MODELS, timeout_s=wait_s)
            self._checked_pair()
        except BaseException:
            self._client.close()
            raise

    @property
    def address(self) -> str:
        return self._client.address

    def recommend(
        self,
        history: Sequence[str],
        *,
        k: int = 10,
        exclude: Sequence[str] = (),
        timeout_s: float | None = None,
    ) -> Recommendation:
        """The best `k` items for a history of item texts, most recent first; it may be empty.

        Args:
            history: texts, also of items that the catalogue does not hold.
            k: how many, at most the bundle's `k_max`.
            exclude: item ids that must not be recommended.
            timeout_s: the deadline, in place of the client's own.
        """
        return self.recommend_batch([history], k=k, exclude=[exclude], timeout_s=timeout_s)[0]

    def recommend_batch(
        self,
        histories: Sequence[Sequence[str]],
        *,
        k: int = 10,
        exclude: Sequence[Sequence[str]] | None = None,
        timeout_s: float | None = None,
    ) -> list[Recommendation]:
        """As `recommend`, for several histories in one call; `exclude` has a list for each."""
        return self._recommend(
            "serving_default", "history", histories, k=k, exclude=exclude, timeout_s=timeout_s
        )

    def recommend_by_ids(
        self,
        item_ids: Sequence[str],
        *,
        k: int = 10,
        exclude: Sequence[str] = (),
        timeout_s: float | None = None,
    ) -> Recommendation:
        """As `recommend`, for a history of item ids; ids that the catalogue lacks are ignored."""
        return self.recommend_batch_by_ids([item_ids], k=k, exclude=[exclude], timeout_s=timeout_s)[
            0
        ]

    def recommend_batch_by_ids(
        self,
        histories: Sequence[Sequence[str]],
        *,
        k: int = 10,
        exclude: Sequence[Sequence[str]] | None = None,
        timeout_s: float | None = None,
    ) -> list[Recommendation]:
        """As `recommend_by_ids`, for several histories in one call."""
        items = self._checked_pair().history_items
        exclude = [[]] * len(histories) if exclude is None else exclude
        if len(exclude) == len(histories):  # what the models no longer read is still known
            exclude = [
                [*row, *_requests.beyond(history, items)]
                for row, history in zip(exclude, histories, strict=True)
            ]
        return self._recommend(
            "from_item_ids", "item_ids", histories, k=k, exclude=exclude, timeout_s=timeout_s
        )

    def embed_users(
        self, histories: Sequence[Sequence[str]], *, timeout_s: float | None = None
    ) -> Embeddings:
        """A vector for each history of item texts, [histories, dim] float32."""
        return self._embed_histories("serving_default", "history", histories, timeout_s)

    def embed_users_by_ids(
        self, histories: Sequence[Sequence[str]], *, timeout_s: float | None = None
    ) -> Embeddings:
        """A vector for each history of item ids, [histories, dim] float32."""
        return self._embed_histories("from_item_ids", "item_ids", histories, timeout_s)

    def embed_items(self, texts: Sequence[str], *, timeout_s: float | None = None) -> Embeddings:
        """A vector for each item text, [texts, dim] float32."""
        if isinstance(texts, (str, bytes)):
            raise UsageError(f"embed_items takes a list of texts, got {texts!r}")
        inputs = {"text": _strings(texts)}
        return self._embed("item_tower", "serving_default", inputs, len(texts), timeout_s)

    def describe(self) -> Mapping[str, Description]:
        """What the three models say of themselves, asked anew, by model name."""
        self._forget()
        return self._checked_pair().descriptions

    def pinned(self) -> Recommender:
        """A client of the pair that answers now, also after the label has moved on.

        Its calls end as ModelNotFound once that pair is unloaded.

        Example:
            with recommender.pinned() as pair:
                scores = pair.embed_users(histories).vectors @ pair.embed_items(texts).vectors.T
        """
        self._forget()
        pair = self._checked_pair()
        versions = {one.version for one in pair.descriptions.values()}
        if len(versions) > 1:
            said = ", ".join(f"{one.model} {one.version}" for one in pair.descriptions.values())
            raise UsageError(
                f"the models at {self.address} are of one bundle under different versions ({said}) "
                "and cannot be pinned; a bundle that is pushed has one version for all of them"
            )
        return Recommender(
            self.address,
            timeout_s=self._client.timeout_s,
            expect_fingerprint=pair.fingerprint,
            version=versions.pop(),
            settings=self._settings,
            policy=self._policy,
        )

    def close(self) -> None:
        """Ends the connection; running calls end as CallCancelled."""
        self._client.close()

    def __enter__(self) -> Recommender:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _recommend(
        self,
        signature: str,
        alias: str,
        histories: Sequence[Sequence[str]],
        *,
        k: int,
        exclude: Sequence[Sequence[str]] | None,
        timeout_s: float | None,
    ) -> list[Recommendation]:
        pair = self._checked_pair()
        pair.check_k(k)
        if exclude is not None and len(exclude) != len(histories):
            raise UsageError(
                f"exclude has {len(exclude)} lists for {len(histories)} histories; give one each"
            )
        if not histories:
            return []
        inputs = {
            alias: _strings(_requests.history_rows(histories, pair.history_items)),
            "exclude": _strings(_requests.exclude_rows(exclude or [[] for _ in histories])),
        }
        answer, pair = self._ask("recommender", signature, inputs, timeout_s)
        facts = self._facts("recommender")
        return _responses.recommendations(
            answer, rows=len(histories), k=k, fingerprint=pair.fingerprint, facts=facts
        )

    def _embed_histories(
        self,
        signature: str,
        alias: str,
        histories: Sequence[Sequence[str]],
        timeout_s: float | None,
    ) -> Embeddings:
        rows = _requests.history_rows(histories, self._checked_pair().history_items)
        inputs = {alias: _strings(rows)}
        return self._embed("user_tower", signature, inputs, len(rows), timeout_s)

    def _embed(
        self,
        model: str,
        signature: str,
        inputs: Mapping[str, ArrayLike],
        rows: int,
        timeout_s: float | None,
    ) -> Embeddings:
        if not rows:
            pair = self._checked_pair()
            empty = np.zeros((0, pair.dim), np.float32)
            return Embeddings(empty, pair.descriptions[model].version, pair.fingerprint, 0.0)
        answer, pair = self._ask(model, signature, inputs, timeout_s)
        vectors = _responses.vectors(answer, rows=rows, dim=pair.dim, facts=self._facts(model))
        return Embeddings(vectors, answer.version, pair.fingerprint, answer.elapsed_ms)

    def _ask(
        self,
        model: str,
        signature: str,
        inputs: Mapping[str, ArrayLike],
        timeout_s: float | None,
    ) -> tuple[Prediction, Pair]:
        """One Predict call, and the checked pair that its answer belongs to."""
        for attempt in range(_SWAP_ATTEMPTS):
            try:
                answer = self._client.predict(
                    model,
                    inputs,
                    signature=signature,
                    timeout_s=timeout_s,
                    label=self._label,
                    version=self._version,
                )
            except ServerUnreachable:
                self._forget()  # whoever answers next may serve another bundle
                raise
            if answer.failures:  # so may whoever answered, if the server was lost meanwhile
                self._forget()
            try:
                return answer, self._checked_pair(model, answer.version)
            except ModelNotFound:  # this version was unloaded between its answer and the check
                if attempt + 1 == _SWAP_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    def _forget(self) -> None:
        self._pair = None
        self._known = {}

    def _checked_pair(self, model: str | None = None, version: int | None = None) -> Pair:
        """The pair as last checked, if it covers this version of this model; else checked anew."""
        if pair := self._covering(model, version):
            return pair
        with self._checking:
            if pair := self._covering(model, version):  # another thread has checked it meanwhile
                return pair
            if self._label is None:
                pair = self._check({model: version} if model else {})
            elif version is None:
                pair = self._check_label()
            else:  # a pair has one version, and it answers also when the label has moved on
                pair = self._check(dict.fromkeys(_MODELS, version))
            if version is not None and self._label is not None:
                kept = list(self._known.items())[1 - _KNOWN_PAIRS :]
                self._known = {**dict(kept), version: pair}
            self._pair = pair
            return pair

    def _covering(self, model: str | None, version: int | None) -> Pair | None:
        for pair in (self._pair, self._known.get(version or 0)):
            if pair and (model is None or pair.answers_for(model, version or 0)):
                return pair
        return None

    def _check_label(self) -> Pair:
        """The pair under the label; asked again where the label moved between two of its models."""
        for _ in range(_SWAP_ATTEMPTS - 1):
            try:
                return self._check({})
            except BundleMismatch:
                continue
        return self._check({})

    def _check(self, versions: Mapping[str, int | None]) -> Pair:
        descriptions = {name: self._describe(name, versions.get(name)) for name in _MODELS}
        return check_pair(descriptions, address=self._client.address, expected=self._expected)

    def _describe(self, model: str, version: int | None) -> Description:
        version = self._version if version is None else version
        label = self._label if version is None else None
        answer = self._client.predict(model, {}, signature="describe", version=version, label=label)
        return _responses.description(answer, self._facts(model))

    def _facts(self, model: str) -> CallFacts:
        return CallFacts(self._client.address, model, self._client.timeout_s)


def _strings(rows: Sequence[str] | Sequence[Sequence[str]]) -> NDArray[np.object_]:
    """An object array of strings; numpy's own string arrays would drop trailing NULs."""
    return np.array(rows, dtype=object)
