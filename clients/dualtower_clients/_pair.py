"""Do the models of a server belong together? Pure: what they say of themselves goes in.

check_pair ─► Pair ─► KnownPairs, by address     covers the answer of a version, or not
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dualtower.errors import BundleMismatch, UsageError
from dualtower_clients.results import Description

__all__ = ["KnownPairs", "Pair", "check_pair"]

_PAIRS_OF_AN_ADDRESS = 8  # each costs three calls when it is met again
# Within it no server stops and another one starts at its address; a longer silence may hide that.
_SILENCE_S = 1.0


@dataclass(frozen=True)
class Pair:
    """Descriptions that agree, by model name; the versions are those that were asked.

    `instance` is the run of the server that gave them, "" where it names none.
    """

    descriptions: Mapping[str, Description]
    address: str
    fingerprint: str
    dim: int
    history_items: int
    k_max: int
    instance: str = ""

    def answers_for(self, model: str, version: int) -> bool:
        """Whether this version of this model is the one that was checked."""
        return self.descriptions[model].version == version

    def check_k(self, k: int) -> None:
        """Refuses a `k` that the recommender was not exported for."""
        if not 1 <= k <= self.k_max:
            raise UsageError(
                f"k must be between 1 and {self.k_max}, got {k}; "
                "for longer lists export the bundle with a larger k_max"
            )

    @property
    def version(self) -> int:
        """That all models share.

        Raises:
            UsageError: they have several.
        """
        versions = {one.version for one in self.descriptions.values()}
        if len(versions) > 1:
            said = ", ".join(f"{one.model} {one.version}" for one in self.descriptions.values())
            raise UsageError(
                f"the models at {self.address} are of one bundle under different versions ({said}) "
                "and cannot be pinned; a bundle that is pushed has one version for all of them"
            )
        return versions.pop()


def check_pair(
    descriptions: Mapping[str, Description],
    *,
    address: str,
    expected: str | None,
    instance: str = "",
) -> Pair:
    """The pair, if all models carry one fingerprint and it is the expected one.

    Args:
        descriptions: by model name, at least one.
        address: named in the error.
        expected: the fingerprint of the bundle or index that the caller holds, if any.
        instance: the run of the server that all of them are of.

    Raises:
        BundleMismatch: two models differ, or the server differs from the caller.
    """
    first, *others = descriptions.values()
    for other in others:
        if other.fingerprint != first.fingerprint:
            raise BundleMismatch(
                expected=f"{first.fingerprint} ({first.model} version {first.version})",
                found=f"{other.fingerprint} ({other.model} version {other.version})",
                where=address,
                repair="if a rollout is under way, try again when it is done; "
                "else serve all three models from one bundle with `dualtower serve BUNDLE`",
            )
    if expected is not None and first.fingerprint != expected:
        raise BundleMismatch(
            expected=f"{expected} (the caller's)",
            found=f"{first.fingerprint} (version {first.version} at the server)",
            where=address,
            repair="serve the bundle that the caller holds with `dualtower serve BUNDLE`, "
            "or rebuild what the caller holds from the bundle that is served",
        )
    return Pair(
        descriptions,
        address,
        first.fingerprint,
        first.dim,
        first.history_items,
        min(one.k_max for one in descriptions.values()),
        instance,
    )


class KnownPairs:
    """The pairs that were checked, by address. Threads may share it.

    A version means the same bundle for as long as its server runs. So what was checked holds while
    an address answers without a pause; behind one, another server may stand there.

    Args:
        now_s: a clock that does not jump.

    Attributes:
        era: counts how often all was forgotten.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self.era = 0
        self._now_s = now_s
        self._lock = threading.Lock()
        self._current: Pair | None = None
        self._pairs: dict[str, list[Pair]] = {}
        self._heard_s: dict[str, float] = {}

    @property
    def current(self) -> Pair | None:
        """The pair of the last answer: the next one may be of another."""
        return self._current

    def covering(self, address: str, model: str, version: int, instance: str = "") -> Pair | None:
        """The pair that an answer which came just now belongs to, if that was checked."""
        with self._lock:
            if not self._is_heard(address):
                return None
            pair = self.covered_once(address, model, version, instance)
            if pair is not None:
                self._heard_s[address] = self._now_s()
                self._current = pair
            return pair

    def covered_once(
        self, address: str, model: str, version: int, instance: str = ""
    ) -> Pair | None:
        """The pair that such an answer belonged to before the address was silent."""
        for pair in self._pairs.get(address, ()):
            if pair.instance == instance and pair.answers_for(model, version):
                return pair
        return None

    def add(self, pair: Pair, era: int) -> bool:
        """Takes in what an address has said of itself, unless it was in an era that is over.

        Args:
            pair: that was checked.
            era: when the first of its models was asked.

        Raises:
            BundleMismatch: another address says something else of the same version. Nothing is
                known then, so that all are asked anew.
        """
        with self._lock:
            if era != self.era:
                return False
            try:
                for address, pairs in self._pairs.items():
                    if address != pair.address and self._is_heard(address):
                        _check_replicas(pair, pairs)
            except BundleMismatch:
                self._forget()
                raise
            earlier = self._pairs[pair.address] if self._is_heard(pair.address) else []
            kept = [one for one in earlier if one is not pair]
            self._pairs[pair.address] = [pair, *kept][:_PAIRS_OF_AN_ADDRESS]
            self._heard_s[pair.address] = self._now_s()
            self._current = pair
            return True

    def forget(self) -> int:
        """A server was lost: whoever answers next may serve another bundle. The new era."""
        with self._lock:
            self._forget()
            return self.era

    def _forget(self) -> None:
        self.era += 1
        self._current = None
        self._pairs = {}

    def _is_heard(self, address: str) -> bool:
        if address not in self._pairs:
            return False
        return self._now_s() - self._heard_s[address] < _SILENCE_S


def _check_replicas(new: Pair, pairs: list[Pair]) -> None:
    """Two servers with one version of a model have it from one bundle."""
    for pair in pairs:
        for model, one in new.descriptions.items():
            if pair.answers_for(model, one.version) and pair.fingerprint != new.fingerprint:
                raise BundleMismatch(
                    expected=f"{pair.fingerprint} ({model} version {one.version} at "
                    f"{pair.address})",
                    found=f"{new.fingerprint} ({model} version {one.version} at {new.address})",
                    where=new.address,
                    repair="give every bundle a version of its own (`dualtower push` does), "
                    "and restart the servers that were left behind",
                )
