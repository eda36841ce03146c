"""The channels of `ServingClient`: a call of a thread, from its plan to its answer.

plan.begin ─► send ──────────────────────────► answer, or error_of
     ▲         └─ no hedge yet ─► hedge ─► the first good one wins, the other is cancelled
     └── pause ◄──────────────── failed, and worth another try
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import grpc

from dualtower_clients import _connection, _telemetry
from dualtower_clients._calls import Outcome, instance_in
from dualtower_clients._failure import Failures
from dualtower_clients._links import Links, state_reader
from dualtower_clients._operations import Operation
from dualtower_clients._traffic import Attempt, CallPlan, Traffic
from dualtower_clients.settings import CallPolicy, ChannelSettings, Metadata

__all__ = ["ChannelPool"]

T = TypeVar("T")


class ChannelPool:
    """One channel for each target. Threads may share it.

    Args:
        targets: as gRPC resolves them, at least one.
        settings: of each channel.
        policy: of each call.
    """

    def __init__(
        self, targets: tuple[str, ...], settings: ChannelSettings, policy: CallPolicy
    ) -> None:
        self._settings = settings
        self._failures = Failures(settings.tls)
        self._tracer = _telemetry.tracer_of(settings)
        self._traffic = Traffic(targets, policy)
        opened = [_open(target, settings) for target in targets]
        self._links = Links([state_reader(channel) for channel in opened])
        self._channels = [grpc.intercept_channel(one, *settings.interceptors) for one in opened]
        self._methods: dict[tuple[int, str], Any] = {}
        self._closing = threading.Event()

    def call(
        self,
        operation: Operation[T],
        timeout_s: float,
        *,
        metadata: Metadata = (),
        retry: bool = True,
    ) -> T:
        """Sends a request, again where the policy says so, and reads its answer.

        Raises:
            ClientError: the call did not end well; see `dualtower_clients.errors`.
        """
        plan = self._traffic.plan(operation, timeout_s, retry=retry)
        with _telemetry.span(self._tracer, operation, plan) as trace:
            pairs = [*self._settings.metadata, *metadata, *trace]
            while True:
                attempt, outcome = self._round(plan, operation, pairs)
                if outcome.raw is not None:
                    self._links.answered(attempt.replica.index)
                    reply = plan.reply(attempt, outcome.raw, outcome.instance)
                    return operation.read(reply, plan.facts(attempt))
                if self._closing.is_set():
                    raise self._traffic.closed_error(operation.model)
                pause_s = plan.pause_s(outcome)
                if pause_s is None:
                    raise self._failures.named(outcome, plan.facts(attempt), left_s=plan.left_s)
                if self._closing.wait(pause_s):
                    raise self._traffic.closed_error(operation.model)

    def watch(self, on_lost: Callable[[], None]) -> None:
        """Has `on_lost` called before the first request after a connection was lost."""
        self._links.watch(on_lost)

    def close(self) -> None:
        """Ends the connections; running calls end as CallCancelled."""
        if not self._traffic.close():
            return
        self._closing.set()
        for channel in self._channels:
            channel.close()

    def _round(
        self, plan: CallPlan, operation: Operation[Any], pairs: Metadata
    ) -> tuple[Attempt, Outcome]:
        """One attempt, hedged where it takes long."""
        delay_s = plan.hedge_delay_s()
        try:
            if delay_s is None:
                return self._single(plan, operation, pairs)
            return self._race(plan, operation, pairs, delay_s)
        except ValueError as error:  # grpc: "Cannot invoke RPC on closed channel!"
            if self._closing.is_set():
                raise self._traffic.closed_error(operation.model) from error
            raise

    def _single(
        self, plan: CallPlan, operation: Operation[Any], pairs: Metadata
    ) -> tuple[Attempt, Outcome]:
        """One attempt for as long as it takes; cheaper than a race of one."""
        attempt = plan.begin()
        try:
            outcome = self._send(attempt, operation, pairs)
        except BaseException:  # an interceptor's own error, or Ctrl-C
            plan.lose(attempt)
            raise
        plan.end(attempt, outcome)
        return attempt, outcome

    def _race(
        self, plan: CallPlan, operation: Operation[Any], pairs: Metadata, delay_s: float | None
    ) -> tuple[Attempt, Outcome]:
        """Attempts side by side; no thread waits for one of them alone."""
        ended: queue.SimpleQueue[Attempt] = queue.SimpleQueue()
        running: dict[Attempt, Any] = {}
        winner = None

        def begin(attempt: Attempt) -> None:
            running[attempt] = None
            running[attempt] = self._method(attempt, operation).future(
                operation.request, **self._arguments(attempt, pairs)
            )
            running[attempt].add_done_callback(lambda _: ended.put(attempt))

        try:
            begin(plan.begin())
            while True:
                try:
                    attempt = ended.get(timeout=delay_s)
                except queue.Empty:
                    delay_s = None
                    if hedge := plan.begin_hedge():
                        begin(hedge)
                    continue
                outcome = _outcome_of(running[attempt])
                del running[attempt]
                plan.end(attempt, outcome)
                if not running or plan.is_final(outcome):
                    winner = attempt
                    return attempt, outcome
        finally:
            for attempt, call in running.items():
                if call is not None:
                    call.cancel()
                plan.lose(attempt, winner)

    def _send(self, attempt: Attempt, operation: Operation[Any], pairs: Metadata) -> Outcome:
        method = self._method(attempt, operation)
        try:
            raw, call = method.with_call(operation.request, **self._arguments(attempt, pairs))
            return Outcome(raw, instance=instance_in(call.initial_metadata()))
        except grpc.RpcError as error:
            return Outcome(None, error.code(), error.details() or "")

    def _arguments(self, attempt: Attempt, pairs: Metadata) -> dict[str, Any]:
        token = _connection.authorization(self._settings, attempt.replica.address)
        return {"timeout": attempt.timeout_s, "metadata": [*pairs, *token]}

    def _method(self, attempt: Attempt, operation: Operation[Any]) -> Any:
        self._links.look(attempt.replica.index)
        key = (attempt.replica.index, operation.method)
        method = self._methods.get(key)
        if method is None:
            method = self._methods[key] = self._channels[attempt.replica.index].unary_unary(
                operation.method, request_serializer=bytes, response_deserializer=bytes
            )
        return method


def _open(target: str, settings: ChannelSettings) -> grpc.Channel:
    options = _connection.options_for(target, settings)
    compression = _connection.compression_of(settings)
    credentials = _connection.credentials_of(settings.tls)
    if credentials is None:
        return grpc.insecure_channel(target, options=options, compression=compression)
    return grpc.secure_channel(target, credentials, options=options, compression=compression)


def _outcome_of(call: Any) -> Outcome:
    if call.cancelled():
        return Outcome(None, grpc.StatusCode.CANCELLED, "")
    error = call.exception()
    if error is None:
        return Outcome(call.result(), instance=instance_in(call.initial_metadata()))
    if isinstance(error, grpc.RpcError):
        return Outcome(None, error.code(), error.details() or "")
    raise error
