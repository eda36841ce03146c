"""What all calls of one client share, and the plan of a single call. Pure: no channel here.

    Traffic   replicas, retry throttle, hedges, the fork guard
      └─ plan(operation) ─► CallPlan      begin ─► end ─► pause_s ─► begin ─► ...
                                                │
                                                └ hedge_delay_s ─► begin_hedge ─► end, lose

A channel, of threads or of asyncio, does what the plan says: it sends attempts, waits, and tells
how they ended. The plan holds the deadline: an attempt never gets more than what is left of it.

gRPC's own retries, by service config, do not suffice for this: they stay on one channel, so that
another replica is not asked; they are not counted, so that no error could say how often a call was
sent; and they leave out requests above 256 KiB. What is never seen by a server gRPC sends again by
itself all the same.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any

import grpc

from dualtower_clients import _fork, _given
from dualtower_clients._balance import Balancer, Replica, Verdict
from dualtower_clients._budget import TokenBucket
from dualtower_clients._calls import CallFacts, Outcome, Reply, kind_of
from dualtower_clients._hedging import Hedging
from dualtower_clients._operations import Operation
from dualtower_clients.errors import (
    CallCancelled,
    ClientError,
    DeadlineExceeded,
    ServerBusy,
    ServerFailure,
    ServerUnreachable,
    TlsError,
)
from dualtower_clients.settings import CallPolicy

__all__ = ["Attempt", "CallPlan", "Traffic"]

# never begun by the server, or of an operation that may be done twice
_RETRIED = (ServerUnreachable, ServerBusy)
# says more of the replica than of the request
_REPLICA_FAILED = (ServerUnreachable, DeadlineExceeded, ServerFailure)
# what one replica says and another one may not
_OF_REPLICA_ALONE = (*_RETRIED, *_REPLICA_FAILED, TlsError)
_MAX_DOUBLINGS = 30  # of a pause; more would not fit a float
_THROTTLE_CAPACITY = 10.0  # of gRPC's own retry throttling, the value of its examples
# a client that asks seldom would else go without retries for hours after an outage
_THROTTLE_REFILL_PER_S = 0.5


class Attempt:
    """One time that a request is sent.

    Attributes:
        replica: to which it goes.
        timeout_s: the time that is left for it.
        begin_ns: when it was begun.
    """

    __slots__ = ("begin_ns", "replica", "timeout_s")

    def __init__(self, replica: Replica, timeout_s: float, begin_ns: int) -> None:
        self.replica = replica
        self.timeout_s = timeout_s
        self.begin_ns = begin_ns


class Traffic:
    """What the calls of one client know together. Threads may share it.

    Args:
        addresses: of the replicas, at least one.
        policy: of retries, hedges and balancing.
    """

    def __init__(self, addresses: Sequence[str], policy: CallPolicy) -> None:
        self.policy = policy
        self.balancer = Balancer(addresses, policy.balance)
        self.hedging = Hedging(policy.hedge) if policy.hedge else None
        ratio = policy.retry.throttle_ratio if policy.retry else 0.0
        self.throttle = TokenBucket(
            capacity=_THROTTLE_CAPACITY, refill=ratio, refill_per_s=_THROTTLE_REFILL_PER_S
        )
        self.address = ", ".join(addresses)
        self._birth = _fork.guard(self.balancer, self.address)
        self._is_closed = False

    def close(self) -> bool:
        """No call begins from here on; returns whether the channels are this process's to close."""
        self._is_closed = True
        return self._birth.is_here

    def plan(self, operation: Operation[Any], timeout_s: float, *, retry: bool = True) -> CallPlan:
        """The plan of one call.

        Raises:
            CallCancelled: the client is closed.
            ForkedClient: this process was forked from the client's.
            UsageError: `timeout_s` is no time.
            DeadlineExceeded: it is over already.
        """
        self._birth.check()
        if self._is_closed:
            raise self.closed_error(operation.model)
        timeout_s = _given.seconds(timeout_s, "timeout_s")
        if timeout_s <= 0:
            raise DeadlineExceeded(
                f"the time of the call was over before it was sent (timeout_s={timeout_s:g}, model "
                f"{operation.model!r} at {self.address}); give what needs it more time",
                address=self.address,
                model=operation.model,
            )
        return CallPlan(self, operation, timeout_s, retry=retry and operation.is_repeatable)

    def closed_error(self, model: str) -> ClientError:
        """What a call of a closed client ends with."""
        return CallCancelled(
            f"the client of {self.address} is closed; open a new one",
            address=self.address,
            model=model,
        )


class CallPlan:
    """One call: when it is sent where, with how much time, and when that was enough."""

    def __init__(
        self, traffic: Traffic, operation: Operation[Any], timeout_s: float, *, retry: bool
    ) -> None:
        self._traffic = traffic
        self._operation = operation
        self._timeout_s = timeout_s
        self._retry = traffic.policy.retry if retry else None
        self._begin_ns = time.monotonic_ns()
        self._rounds = 0  # attempts that are no hedges
        self.attempts = 0  # hedges included
        self._failures = 0
        self._tried: list[Replica] = []
        self._is_hedged = False
        self._last: tuple[Replica, grpc.StatusCode] | None = None
        if traffic.hedging:
            traffic.hedging.pay_in()

    @property
    def left_s(self) -> float:
        """Of the call's time; not below 0."""
        return max(0.0, self._timeout_s - (time.monotonic_ns() - self._begin_ns) / 1e9)

    def begin(self) -> Attempt:
        """The first attempt, or the next one after `pause_s`."""
        self._rounds += 1
        return self._start()

    def hedge_delay_s(self) -> float | None:
        """How long to wait for the first attempt before `begin_hedge`; None: until it ends."""
        hedging = self._traffic.hedging
        if hedging is None or self._is_hedged or not self._operation.is_repeatable:
            return None
        delay_ns = hedging.delay_ns(self._operation.method, self._operation.model)
        return None if delay_ns is None else delay_ns / 1e9

    def begin_hedge(self) -> Attempt | None:
        """A second attempt beside the first, if there is a budget and time for it."""
        hedging = self._traffic.hedging
        if hedging is None or self.left_s <= 0 or not hedging.take():
            return None
        self._is_hedged = True
        return self._start()

    def end(self, attempt: Attempt, outcome: Outcome) -> None:
        """The attempt has come to its end."""
        verdict = Verdict.GOOD
        self._last = attempt.replica, outcome.code
        if outcome.raw is not None:
            self._observe(attempt)
            self._traffic.throttle.refill()
        else:
            self._failures += 1
            kind = kind_of(outcome.code, outcome.details)
            if issubclass(kind, _REPLICA_FAILED):
                verdict = Verdict.BAD
            if issubclass(kind, _RETRIED):
                self._traffic.throttle.drain()
        self._traffic.balancer.give_back(attempt.replica, verdict)

    def lose(self, attempt: Attempt, winner: Attempt | None = None) -> None:
        """The attempt was cancelled: another one won, or nobody waits any more."""
        was_overtaken = winner is not None and attempt.begin_ns < winner.begin_ns
        if was_overtaken:
            self._observe(attempt)
        self._traffic.balancer.give_back(
            attempt.replica, Verdict.BAD if was_overtaken else Verdict.NONE
        )

    def pause_s(self, outcome: Outcome) -> float | None:
        """How long to wait before the call is sent again; None: this outcome stands."""
        retry = self._retry
        if outcome.raw is not None or retry is None or self._rounds >= retry.max_attempts:
            return None
        kind = kind_of(outcome.code, outcome.details)
        timed_out = kind is DeadlineExceeded and self.left_s > 0
        if not (timed_out or issubclass(kind, _RETRIED)):
            return None
        has_others = len(self._traffic.balancer.replicas) > len(self._tried)
        if has_others and kind is not ServerBusy:  # which takes no load to where there is too much
            return 0.0
        if not self._traffic.throttle.is_above_half:
            return None
        doublings = min(self._rounds - 1, _MAX_DOUBLINGS)
        longest_s = min(retry.initial_pause_s * 2**doublings, retry.max_pause_s)
        pause_s = random.uniform(longest_s / 2, longest_s)
        return pause_s if pause_s < self.left_s else None

    def is_final(self, outcome: Outcome) -> bool:
        """Whether an attempt that runs beside this one is not worth waiting for."""
        if outcome.raw is not None:
            return True
        return not issubclass(kind_of(outcome.code, outcome.details), _OF_REPLICA_ALONE)

    def span_attributes(self) -> dict[str, str | int]:
        """How the call went, by OpenTelemetry's names for a call of gRPC."""
        said: dict[str, str | int] = {"dualtower.attempts": self.attempts}
        if self._last is not None:
            replica, code = self._last
            host, _, port = replica.address.rpartition(":")
            known = host and port.isdigit()
            said |= {"server.address": host.rpartition("/")[2] if known else replica.address}
            said |= {"server.port": int(port)} if known else {}
            said |= {"rpc.grpc.status_code": int(code.value[0])}
        return said

    def facts(self, attempt: Attempt) -> CallFacts:
        """What an error of this call names."""
        return CallFacts(
            attempt.replica.address, self._operation.model, self._timeout_s, self.attempts
        )

    def reply(self, attempt: Attempt, raw: bytes, instance: str) -> Reply:
        """The answer, with how it came."""
        elapsed_ms = (time.monotonic_ns() - self._begin_ns) / 1e6
        return Reply(
            raw, attempt.replica.address, self.attempts, self._failures, elapsed_ms, instance
        )

    def _start(self) -> Attempt:
        replica = self._traffic.balancer.take(avoid=self._tried)
        if replica not in self._tried:
            self._tried.append(replica)
        self.attempts += 1
        timeout_s = self.left_s
        if self._retry and self._retry.attempt_timeout_s is not None:
            timeout_s = min(timeout_s, self._retry.attempt_timeout_s)
        return Attempt(replica, timeout_s, time.monotonic_ns())

    def _observe(self, attempt: Attempt) -> None:
        if self._traffic.hedging:
            self._traffic.hedging.observe(
                self._operation.method,
                self._operation.model,
                attempt.replica.index,
                time.monotonic_ns() - attempt.begin_ns,
            )
