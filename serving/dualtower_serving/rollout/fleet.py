"""All servers of a rollout at once: each is brought to a state, and says what stands against it.

    the versions that are wanted, under the labels that are there ─► wait ─► the new labels

A server checks labels before it loads the versions of the same configuration, so versions come
first. A label moves only to a version that answers in all models, and all models' labels move in
one message: under a label there is the old pair or the new one, at no moment one model of each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from dualtower.bundle import MODELS
from dualtower_clients import (
    BundleMismatch,
    ClientError,
    Recommender,
    ServerUnreachable,
    TlsError,
)
from dualtower_serving.rollout.replica import Replica
from dualtower_serving.rollout.served_config import served_config
from dualtower_serving.rollout.session import Session
from dualtower_serving.rollout.state import CANARY, STABLE, State

__all__ = ["Fleet", "Trouble", "open_fleet"]

_POLL_S = 0.1


class Trouble(dict[str, list[str]]):
    """What stands against each server, by address; none stands for those that are not named."""

    def __str__(self) -> str:
        return "; ".join(f"{address}: {'; '.join(said)}" for address, said in self.items())


class Fleet:
    """The servers of a rollout. Each method asks all of them at the same time."""

    def __init__(self, replicas: Sequence[Replica], session: Session) -> None:
        self.replicas = replicas
        self._session = session
        self._patience = session.patience

    def unreachable(self) -> Trouble:
        """Servers that do not answer within the time of a call."""

        def ask(replica: Replica) -> list[str]:
            replica.wait_for_answer(timeout_s=min(self._patience.call_s, 5.0))
            return []

        return self._of_all(ask)

    def without(self, addresses: Collection[str]) -> Fleet:
        """The servers but for these."""
        rest = [one for one in self.replicas if one.address not in addresses]
        return Fleet(rest, self._session)

    def bring_to(self, state: State, *, needed: Collection[int]) -> Trouble:
        """Versions, then labels.

        Args:
            state: what the servers should hold.
            needed: versions that have to answer before a label moves; the others may be dead.
        """
        return self._of_all(lambda replica: self._bring(replica, state, needed))

    def check_versions(self, state: State, versions: Collection[int]) -> Trouble:
        """Does each of these versions answer, in all models, as the bundle it should be?"""
        return self._of_all(lambda replica: _wrong_versions(replica, state, versions))

    def check_labels(self, state: State) -> Trouble:
        """Does each label lead to its version, in all models?"""
        return self._of_all(lambda replica: _wrong_labels(replica, state))

    def probe(self, version: int, fingerprint: str) -> Trouble:
        """Asks each server's pair for a recommendation and for embeddings.

        A version whose variables are missing loads, describes itself, and fails here.
        """

        def ask(replica: Replica) -> list[str]:
            try:
                with Recommender(
                    replica.address,
                    version=version,
                    expect_fingerprint=fingerprint,
                    timeout_s=self._patience.call_s,
                    settings=self._session.settings,
                ) as pair:
                    pair.recommend([], k=1)
                    pair.embed_users([["a"]])
                    pair.embed_items(["a"])
            except ServerUnreachable:
                raise
            except (ClientError, BundleMismatch) as error:
                return [f"version {version} is loaded and does not answer: {error}"]
            return []

        return self._of_all(ask)

    def wait_unloaded(self, versions: Sequence[int]) -> Trouble:
        """Waits until none of these versions answers anywhere; names where one still does."""
        deadline = time.monotonic() + self._patience.call_s
        while (held := self.still_loaded(versions)) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return held

    def still_loaded(self, versions: Sequence[int]) -> Trouble:
        """Servers on which one of these versions answers in any model."""

        def ask(replica: Replica) -> list[str]:
            return [
                f"{model} version {version} is loaded"
                for model, there in replica.available().items()
                for version in versions
                if version in there
            ]

        return self._of_all(ask)

    def _bring(self, replica: Replica, state: State, needed: Collection[int]) -> list[str]:
        there = replica.whole_versions()
        if not set(needed) <= there and (failed := self._load(replica, state, needed, there)):
            return failed
        refused = replica.reload(served_config(state), timeout_s=self._patience.call_s)
        return [f"the server refuses the configuration: {refused}"] if refused else []

    def _load(
        self, replica: Replica, state: State, needed: Collection[int], there: Collection[int]
    ) -> list[str]:
        # a label that is new gets its version now, if that answers: before another one is loaded
        labels = {label: version for label, version in state.labels.items() if version in there}
        labels |= _live_labels(replica, {*state.labels, STABLE, CANARY})
        known = replica.failures(needed)
        is_new = not all(map(replica.statuses, MODELS))
        refused = replica.reload(
            served_config(state, versions=[*state.loaded, *labels.values()], labels=labels),
            timeout_s=self._patience.load_s if is_new else self._patience.call_s,
        )
        if refused:
            return [f"the server refuses the configuration: {refused}"]
        failed = replica.wait_loaded(needed, timeout_s=self._patience.load_s, known_failures=known)
        return [*map(str, failed)]

    def _of_all(self, ask: Callable[[Replica], list[str]]) -> Trouble:
        def asked(replica: Replica) -> list[str]:
            try:
                return ask(replica)
            except TlsError as error:  # whose explanation says more than gRPC's words
                return [str(error)]
            except ClientError as error:
                return [error.server_message or str(error)]

        with ThreadPoolExecutor(max(1, len(self.replicas))) as pool:
            found = list(pool.map(asked, self.replicas))
        return Trouble({
            replica.address: said
            for replica, said in zip(self.replicas, found, strict=True)
            if said
        })  # fmt: skip


@contextmanager
def open_fleet(addresses: Sequence[str], session: Session) -> Iterator[Fleet]:
    """Connections to all servers."""
    with ExitStack() as stack:
        replicas = [
            Replica(address, timeout_s=session.patience.call_s, settings=session.settings)
            for address in addresses
        ]
        yield Fleet([stack.enter_context(one) for one in replicas], session)


def _live_labels(replica: Replica, labels: set[str]) -> dict[str, int]:
    """Labels that all models have on one version that answers: these may stay while others load."""
    live = {}
    for label in labels:
        answers = set(replica.label(label).values())
        if len(answers) == 1 and (one := answers.pop()) is not None and not one.is_dead:
            live[label] = one.version
    return live


def _wrong_versions(replica: Replica, state: State, versions: Collection[int]) -> list[str]:
    wrong = []
    for version in sorted(versions):
        expected = state.pairs[version]
        for model, found in replica.fingerprints(version).items():
            if not found:
                wrong.append(f"{model} has no version {version} loaded")
            elif found != expected:
                wrong.append(
                    f"{model} version {version} is of bundle {found[:12]}…, expected "
                    f"{expected[:12]}…"
                )
    return wrong


def _wrong_labels(replica: Replica, state: State) -> list[str]:
    wrong = []
    for label, version in state.labels.items():
        for model, found in replica.label(label).items():
            if found is None or found.version != version or found.is_dead:
                what = "nothing" if found is None else f"version {found.version}"
                wrong.append(f"{label} of {model} is {what}, expected version {version}")
    return wrong
