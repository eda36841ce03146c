"""`ServingClient` for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TypeVar

from google.protobuf.message import Message

from dualtower_clients import _checks, _connection, _given, _operations, _requests
from dualtower_clients._async_channel import AsyncChannelPool
from dualtower_clients._examples import Example, Task
from dualtower_clients._operations import Operation
from dualtower_clients._predict_bytes import Input
from dualtower_clients._waiting import POLL_S, Waiting
from dualtower_clients.errors import ModelNotFound, RetryableError, TlsError
from dualtower_clients.results import (
    Classifications,
    ModelMetadata,
    Prediction,
    Regressions,
    VersionStatus,
)
from dualtower_clients.settings import (
    DEFAULT_POLICY,
    DEFAULT_SETTINGS,
    DEFAULT_TIMEOUT_S,
    CallPolicy,
    ChannelSettings,
    Metadata,
    check_metadata,
)

__all__ = ["AsyncServingClient"]

_T = TypeVar("_T")


class AsyncServingClient:
    """As `ServingClient`, for asyncio: the same arguments, results and errors.

    It belongs to the event loop of its first call. Many calls at a time share its connections. A
    task that is cancelled cancels its call, at the server too.

    Args:
        address: as `ServingClient` takes it.
        timeout_s: the deadline of a call that names none itself.
        settings: as of `ServingClient`, with the interceptors of `grpc.aio`.
        policy: retries, hedges, balancing.

    Raises:
        UsageError: the address is none, or another argument is not what it has to be.
        ForkedClient: gRPC cannot be used in this process, since it was forked.

    Example:
        async with AsyncServingClient("localhost:8500") as client:
            answer = await client.predict("half_plus_two", {"x": np.float32([1.0, 2.0])})
            answer.outputs["y"], answer.version
    """

    def __init__(
        self,
        address: str | Sequence[str],
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        settings: ChannelSettings = DEFAULT_SETTINGS,
        policy: CallPolicy = DEFAULT_POLICY,
    ) -> None:
        _checks.kind_of("settings", settings, ChannelSettings)
        _checks.kind_of("policy", policy, CallPolicy)
        self.addresses = _connection.targets_of(address)
        self.timeout_s = _given.above_zero(timeout_s, "timeout_s")
        self._pool = AsyncChannelPool(self.addresses, settings, policy)

    @property
    def address(self) -> str:
        """Where it asks, in words."""
        return ", ".join(self.addresses)

    def watch_connections(self, on_lost: Callable[[], None]) -> None:
        """Has `on_lost` called before the first request after a connection was lost.

        Whoever answers that request may be another server, with other models.

        Args:
            on_lost: called by the thread or task that is about to ask; it must not wait.
        """
        self._pool.watch(on_lost)

    async def predict(
        self,
        model: str,
        inputs: Mapping[str, Input],
        *,
        signature: str = "serving_default",
        outputs: Iterable[str] = (),
        version: int | None = None,
        label: str | None = None,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> Prediction:
        """Runs a signature; arguments as `ServingClient.predict`."""
        operation = _operations.predict(
            model, inputs, signature=signature, outputs=outputs, version=version, label=label
        )
        return await self._call(operation, timeout_s, metadata)

    async def classify(
        self,
        model: str,
        examples: Sequence[Example],
        *,
        context: Example | None = None,
        signature: str = "serving_default",
        version: int | None = None,
        label: str | None = None,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> Classifications:
        """Labels and scores of each example; arguments as `ServingClient.classify`."""
        operation = _operations.classify(
            model, examples, context=context, signature=signature, version=version, label=label
        )
        return await self._call(operation, timeout_s, metadata)

    async def regress(
        self,
        model: str,
        examples: Sequence[Example],
        *,
        context: Example | None = None,
        signature: str = "serving_default",
        version: int | None = None,
        label: str | None = None,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> Regressions:
        """A number for each example; arguments as `ServingClient.classify`."""
        operation = _operations.regress(
            model, examples, context=context, signature=signature, version=version, label=label
        )
        return await self._call(operation, timeout_s, metadata)

    async def multi_inference(
        self,
        model: str,
        tasks: Mapping[str, Task],
        examples: Sequence[Example],
        *,
        context: Example | None = None,
        version: int | None = None,
        label: str | None = None,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> Mapping[str, Classifications | Regressions]:
        """Several signatures over the same examples; as `ServingClient.multi_inference`."""
        operation = _operations.multi_inference(
            model, tasks, examples, context=context, version=version, label=label
        )
        return await self._call(operation, timeout_s, metadata)

    async def metadata(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> ModelMetadata:
        """The signatures of a loaded version, with dtypes, shapes and defaults."""
        operation = _operations.metadata(model, version=version, label=label)
        return await self._call(operation, timeout_s, metadata)

    async def status(
        self,
        model: str,
        *,
        version: int | None = None,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> tuple[VersionStatus, ...]:
        """Every version the server knows of, highest first, also those unloaded or failed."""
        return await self._call(_operations.status(model, version=version), timeout_s, metadata)

    async def reload(
        self,
        config: Message | bytes,
        *,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> None:
        """Replaces the server's whole configuration, as `ServingClient.reload` does."""
        _operations.check_single(self.addresses)
        operation = _operations.reload(_requests.server_config(config))
        await self._call(operation, timeout_s, metadata)

    async def wait_until_available(
        self, models: Iterable[str], *, timeout_s: float, metadata: Metadata = ()
    ) -> None:
        """Returns when every model has a version that answers; else DeadlineExceeded."""
        check_metadata(metadata)
        waiting = Waiting(models, address=self.address, timeout_s=timeout_s)
        while not waiting.is_over:
            operation, ask_s = waiting.question()
            try:
                found = await self._pool.call(operation, ask_s, metadata=metadata, retry=False)
                if waiting.saw(found):
                    continue
            except TlsError as error:
                waiting.named_tls(error)
            except (RetryableError, ModelNotFound) as error:
                waiting.failed(error)
            await asyncio.sleep(POLL_S)

    async def close(self) -> None:
        """Ends the connections; running calls end as CallCancelled."""
        await self._pool.close()

    async def __aenter__(self) -> AsyncServingClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _call(
        self, operation: Operation[_T], timeout_s: float | None, metadata: Metadata = ()
    ) -> _T:
        check_metadata(metadata)
        left_s = self.timeout_s if timeout_s is None else _given.seconds(timeout_s, "timeout_s")
        return await self._pool.call(operation, left_s, metadata=metadata)
