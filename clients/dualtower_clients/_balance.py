"""Which replica gets the next attempt, and which one gets none for a while. Pure: no channel here.

              `eject_after` failures in a row
┌─────────┐ ────────────────────────────────► ┌─────────┐
│ healthy │                                   │ ejected │ ◄──┐ it fails: twice as long
└─────────┘ ◄──────────────────────────────── └─────────┘ ───┘
                its time is over, and a single
                call finds that it answers
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from enum import Enum

from dualtower_clients.settings import BalancePolicy

__all__ = ["Balancer", "Replica", "Verdict"]

_MAX_DOUBLINGS = 30  # more would not fit a float


class Verdict(Enum):
    """What an attempt says about the replica that had it."""

    GOOD = "it answered, be it with a refusal"
    BAD = "it failed, or was overtaken"
    NONE = "nothing: the attempt was given up"


class Replica:
    """One address of a client, and how it has done."""

    def __init__(self, index: int, address: str) -> None:
        self.index = index
        self.address = address
        self.outstanding = 0  # attempts under way
        self.failures = 0  # in a row
        self.ejections = 0  # of late
        self.ejected_until_ns: int | None = None  # None: healthy
        self.healthy_since_ns = 0
        self.is_probed = False  # its time is over, and one attempt is finding out

    def __repr__(self) -> str:
        return f"Replica({self.address})"


class Balancer:
    """Picks replicas, and ejects those that fail. Threads may share one.

    Args:
        addresses: at least one.
        policy: how to pick and when to eject.
        rng: draws the candidates.
        now_ns: a clock that does not go back.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        policy: BalancePolicy,
        *,
        rng: random.Random | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.replicas = [Replica(index, address) for index, address in enumerate(addresses)]
        self._policy = policy
        self._rng = rng or random.Random()
        self._now_ns = now_ns
        self._next = 0  # the replica whose turn it is
        self._lock = threading.Lock()

    @property
    def outstanding(self) -> int:
        """Attempts under way, of all replicas."""
        return sum(replica.outstanding for replica in self.replicas)

    def take(self, avoid: Collection[Replica] = ()) -> Replica:
        """The replica for the next attempt, by preference none of `avoid`."""
        with self._lock:
            replica = self._pick(self._candidates(avoid))
            replica.outstanding += 1
            if self._is_due(replica):
                replica.is_probed = True
            return replica

    def give_back(self, replica: Replica, verdict: Verdict) -> None:
        """The attempt that took the replica is over."""
        with self._lock:
            replica.outstanding -= 1
            if verdict is Verdict.GOOD:
                self._clear(replica)
            elif verdict is Verdict.BAD:
                replica.failures += 1
                self._judge(replica)
            elif not replica.outstanding:
                replica.is_probed = False  # nothing was found out; the next one tries

    def _candidates(self, avoid: Collection[Replica]) -> list[Replica]:
        """The best non-empty set: usable and not avoided, not avoided, usable, any."""
        if len(self.replicas) == 1:
            return self.replicas
        usable = [one for one in self.replicas if one.ejected_until_ns is None or self._is_due(one)]
        return (
            [one for one in usable if one not in avoid]
            or [one for one in self.replicas if one not in avoid]
            or usable
            or self.replicas
        )

    def _pick(self, candidates: list[Replica]) -> Replica:
        if len(candidates) == 1:
            return candidates[0]
        if self._policy.pick == "round_robin":
            count = len(self.replicas)
            chosen = min(candidates, key=lambda one: (one.index - self._next) % count)
            self._next = (chosen.index + 1) % count
            return chosen
        return min(self._rng.sample(candidates, 2), key=lambda one: one.outstanding)

    def _is_due(self, replica: Replica) -> bool:
        until_ns = replica.ejected_until_ns
        return until_ns is not None and not replica.is_probed and self._now_ns() >= until_ns

    def _clear(self, replica: Replica) -> None:
        replica.failures = 0
        if replica.ejected_until_ns is not None:
            replica.ejected_until_ns = None
            replica.healthy_since_ns = self._now_ns()
            replica.is_probed = False

    def _judge(self, replica: Replica) -> None:
        now_ns = self._now_ns()
        if replica.ejected_until_ns is not None:
            if now_ns >= replica.ejected_until_ns:  # the probe failed
                self._eject(replica, now_ns)
        elif replica.failures >= self._policy.eject_after and self._has_room():
            if now_ns - replica.healthy_since_ns > self._policy.max_eject_s * 1e9:
                replica.ejections = 0
            self._eject(replica, now_ns)

    def _has_room(self) -> bool:
        ejected = sum(one.ejected_until_ns is not None for one in self.replicas)
        return ejected < len(self.replicas) // 2

    def _eject(self, replica: Replica, now_ns: int) -> None:
        doublings = min(replica.ejections, _MAX_DOUBLINGS)
        time_s = min(self._policy.eject_s * 2**doublings, self._policy.max_eject_s)
        replica.ejected_until_ns = now_ns + int(time_s * 1e9)
        replica.ejections += 1
        replica.is_probed = False
