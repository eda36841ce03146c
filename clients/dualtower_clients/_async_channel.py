"""The channels of `AsyncServingClient`: as `_channel`, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
import grpc.aio

from dualtower.errors import UsageError
from dualtower_clients import _connection, _telemetry
from dualtower_clients._calls import Outcome, instance_in
from dualtower_clients._failure import Failures
from dualtower_clients._links import Links
from dualtower_clients._operations import Operation
from dualtower_clients._traffic import Attempt, CallPlan, Traffic
from dualtower_clients.errors import ClientError
from dualtower_clients.settings import CallPolicy, ChannelSettings, Metadata

__all__ = ["AsyncChannelPool"]

T = TypeVar("T")


class AsyncChannelPool:
    """One channel for each target, of one event loop: the one that runs at the first call.

    Args:
        targets: as gRPC resolves them, at least one.
        settings: of each channel.
        policy: of each call.
    """

    def __init__(
        self, targets: tuple[str, ...], settings: ChannelSettings, policy: CallPolicy
    ) -> None:
        self._targets = targets
        self._settings = settings
        self._failures = Failures(settings.tls)
        self._tracer = _telemetry.tracer_of(settings)
        self._traffic = Traffic(targets, policy)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channels: list[grpc.aio.Channel] = []
        self._links = Links([])
        self._on_lost: Callable[[], None] | None = None
        self._methods: dict[tuple[int, str], Any] = {}
        self._closing = asyncio.Event()

    async def call(
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
        self._open()
        with _telemetry.span(self._tracer, operation, plan) as trace:
            pairs = [*self._settings.metadata, *metadata, *trace]
            while True:
                attempt, outcome = await self._round(plan, operation, pairs)
                if outcome.raw is not None:
                    self._links.answered(attempt.replica.index)
                    reply = plan.reply(attempt, outcome.raw, outcome.instance)
                    return operation.read(reply, plan.facts(attempt))
                if self._closing.is_set():
                    raise self._traffic.closed_error(operation.model)
                pause_s = plan.pause_s(outcome)
                if pause_s is None:
                    raise await self._failure(plan, attempt, outcome)
                if await self._closes_within(pause_s):
                    raise self._traffic.closed_error(operation.model)

    def watch(self, on_lost: Callable[[], None]) -> None:
        """Has `on_lost` called before the first request after a connection was lost."""
        self._on_lost = on_lost
        self._links.watch(on_lost)

    async def close(self) -> None:
        """Ends the connections; running calls end as CallCancelled."""
        if not self._traffic.close():
            return
        self._closing.set()
        channels, self._channels = self._channels, []
        await asyncio.gather(*(channel.close() for channel in channels))

    def _open(self) -> None:
        """Opens the channels in the loop that runs: gRPC binds them to it."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._channels = [_open(target, self._settings) for target in self._targets]
            self._links = Links([channel.get_state for channel in self._channels])
            if self._on_lost is not None:
                self._links.watch(self._on_lost)
            self._loop = loop
        elif loop is not self._loop:
            raise UsageError(
                f"the client of {self._traffic.address} belongs to another event loop, that of its "
                "first call; make a client in each loop, and use it there"
            )

    async def _round(
        self, plan: CallPlan, operation: Operation[Any], pairs: Metadata
    ) -> tuple[Attempt, Outcome]:
        """One attempt, hedged where it takes long: the first good one wins."""
        delay_s = plan.hedge_delay_s()
        running: dict[asyncio.Task[Outcome], Attempt] = {}
        winner = None

        def begin(attempt: Attempt) -> None:
            running[asyncio.ensure_future(self._send(attempt, operation, pairs))] = attempt

        try:
            begin(plan.begin())
            while True:
                done, _ = await asyncio.wait(
                    running, timeout=delay_s, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    delay_s = None
                    if hedge := plan.begin_hedge():
                        begin(hedge)
                for task in done:
                    outcome = _outcome_of(task)
                    attempt = running.pop(task)
                    plan.end(attempt, outcome)
                    if not running or plan.is_final(outcome):
                        winner = attempt
                        return attempt, outcome
        finally:
            for task, attempt in running.items():
                task.cancel()
                plan.lose(attempt, winner)

    async def _send(self, attempt: Attempt, operation: Operation[Any], pairs: Metadata) -> Outcome:
        token = await self._authorization(attempt)
        if self._closing.is_set():
            raise self._traffic.closed_error(operation.model)
        method = self._method(attempt, operation)
        try:
            call = method(operation.request, timeout=attempt.timeout_s, metadata=[*pairs, *token])
            raw: bytes = await call
            instance = instance_in(await call.initial_metadata())
        except grpc.RpcError as error:
            return Outcome(None, error.code(), error.details() or "")
        except grpc.aio.UsageError as error:  # "Channel is closed."
            if self._closing.is_set():
                raise self._traffic.closed_error(operation.model) from error
            raise
        return Outcome(raw, instance=instance)

    async def _authorization(self, attempt: Attempt) -> Metadata:
        address = attempt.replica.address
        if not callable(self._settings.token):
            return _connection.authorization(self._settings, address)
        return await asyncio.to_thread(_connection.authorization, self._settings, address)

    async def _failure(self, plan: CallPlan, attempt: Attempt, outcome: Outcome) -> ClientError:
        facts, named = plan.facts(attempt), self._failures.named
        if self._failures.may_block(outcome, facts):
            return await asyncio.to_thread(named, outcome, facts, left_s=plan.left_s)
        return named(outcome, facts, left_s=plan.left_s)

    async def _closes_within(self, pause_s: float) -> bool:
        try:
            await asyncio.wait_for(self._closing.wait(), pause_s)
        except asyncio.TimeoutError:
            return False
        return True

    def _method(self, attempt: Attempt, operation: Operation[Any]) -> Any:
        self._links.look(attempt.replica.index)
        key = (attempt.replica.index, operation.method)
        method = self._methods.get(key)
        if method is None:
            method = self._methods[key] = self._channels[attempt.replica.index].unary_unary(
                operation.method, request_serializer=bytes, response_deserializer=bytes
            )
        return method


def _open(target: str, settings: ChannelSettings) -> grpc.aio.Channel:
    options = _connection.options_for(target, settings)
    compression = _connection.compression_of(settings)
    credentials = _connection.credentials_of(settings.tls)
    interceptors = list(settings.interceptors)
    if credentials is None:
        return grpc.aio.insecure_channel(
            target, options=options, compression=compression, interceptors=interceptors
        )
    return grpc.aio.secure_channel(
        target, credentials, options=options, compression=compression, interceptors=interceptors
    )


def _outcome_of(task: asyncio.Task[Outcome]) -> Outcome:
    if task.cancelled():  # by gRPC, when the channel closes
        return Outcome(None, grpc.StatusCode.CANCELLED, "")
    return task.result()
