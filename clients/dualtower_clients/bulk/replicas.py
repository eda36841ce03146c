"""The servers of a run: asked together by a client that balances, and each one by itself.

together ─► whoever is free, another one where that fails      texts
each     ─► the one at this address                            whose vectors are these?
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

from dualtower_clients.async_serving_client import AsyncServingClient
from dualtower_clients.settings import CallPolicy, ChannelSettings

__all__ = ["Replicas"]


class Replicas:
    """Clients of the same servers, which are closed together.

    Args:
        address: one or several.
        timeout_s: of a call that names none itself.
        settings, policy: of each client.

    Attributes:
        together: asks any of them.
        each: the client of one, by its address.
    """

    def __init__(
        self,
        address: str | Sequence[str],
        *,
        timeout_s: float,
        settings: ChannelSettings,
        policy: CallPolicy,
    ) -> None:
        def client(where: str | Sequence[str]) -> AsyncServingClient:
            return AsyncServingClient(where, timeout_s=timeout_s, settings=settings, policy=policy)

        self.together = client(address)
        addresses = self.together.addresses
        self.each: Mapping[str, AsyncServingClient] = (
            {addresses[0]: self.together}
            if len(addresses) == 1
            else {one: client(one) for one in addresses}
        )

    def watch_connections(self, on_lost: Callable[[], None]) -> None:
        """Has `on_lost` called before the first request after a connection was lost."""
        for client in (self.together, *self.each.values()):
            client.watch_connections(on_lost)

    async def __aenter__(self) -> Replicas:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for client in (self.together, *self.each.values()):
            await client.close()
