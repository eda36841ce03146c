"""What a process that was forked may still do with gRPC.

    client made, then fork                       ForkedClient: the child would write into the
                                                 parent's connections
    fork, then client made                       works
    fork while calls run, then client made       ForkedClient: gRPC skips its own handlers of the
    fork without gRPC's fork support, then ...   fork, and every call would hang, deadline or not

A fork concerns the whole process, which is why this is the one module with state of its own.
"""

from __future__ import annotations

import os
import weakref
from dataclasses import dataclass, field

from dualtower_clients._balance import Balancer
from dualtower_clients.errors import ForkedClient

__all__ = ["Birth", "guard"]

_SUPPORT_VARIABLE = "GRPC_ENABLE_FORK_SUPPORT"
_OFF = ("0", "f", "false", "n", "no")


@dataclass
class _Process:
    clients: weakref.WeakSet[Balancer] = field(default_factory=weakref.WeakSet)
    is_about_to_break: bool = False
    is_broken: bool = False  # gRPC cannot be used in this process

    def before_fork(self) -> None:
        clients = list(self.clients)
        is_unsupported = os.environ.get(_SUPPORT_VARIABLE, "").lower() in _OFF
        self.is_about_to_break = any(one.outstanding for one in clients) or (
            bool(clients) and is_unsupported
        )

    def after_fork_in_child(self) -> None:
        self.is_broken = self.is_broken or self.is_about_to_break


_PROCESS = _Process()
if hasattr(os, "register_at_fork"):  # not where there is no fork
    os.register_at_fork(before=_PROCESS.before_fork, after_in_child=_PROCESS.after_fork_in_child)


@dataclass(frozen=True)
class Birth:
    """Where a client was made."""

    pid: int
    address: str

    @property
    def is_here(self) -> bool:
        """Whether this process made the client."""
        return os.getpid() == self.pid

    def check(self) -> None:
        """Refuses to go on in another process.

        Raises:
            ForkedClient: this is a child of the process that made the client.
        """
        if not self.is_here:
            raise ForkedClient(
                f"the client of {self.address} was made in process {self.pid} before it forked, "
                f"and this is process {os.getpid()}; make a client in each process, after the fork",
                address=self.address,
            )


def guard(balancer: Balancer, address: str) -> Birth:
    """Notes a new client.

    Raises:
        ForkedClient: gRPC cannot be used in this process.
    """
    if _PROCESS.is_broken:
        raise ForkedClient(
            f"gRPC cannot be used in process {os.getpid()}: it was forked while calls were under "
            f"way, or with {_SUPPORT_VARIABLE} switched off, and every call would hang; start "
            "processes by multiprocessing's 'spawn' or 'forkserver', or fork before the first call",
            address=address,
        )
    _PROCESS.clients.add(balancer)
    return Birth(os.getpid(), address)
