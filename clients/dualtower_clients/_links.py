"""Whether a channel's connection still stands: over the next one another server may answer.

A channel that lost its connection does nothing until it is asked again. So it is enough to look
before each request, and no thread has to wait for the loss. Only a request that gRPC itself moves
to a new connection slips through, and a name that gRPC's round robin reconnects in the background.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import grpc

__all__ = ["Links", "state_reader"]


class Links:
    """The connections of one client's channels. Threads may share it.

    Args:
        states: for each channel, what reads its state.
    """

    def __init__(self, states: Sequence[Callable[[], grpc.ChannelConnectivity | None]]) -> None:
        self._states = states
        self._stood = [False] * len(states)
        self._on_lost: Callable[[], None] | None = None

    def watch(self, on_lost: Callable[[], None]) -> None:
        """Has `on_lost` called before the first request after a loss."""
        self._on_lost = on_lost

    def look(self, index: int) -> None:
        """Before a request goes out by this channel."""
        if self._on_lost is None:
            return
        state = self._states[index]()
        if state is None:
            return
        stands = state is grpc.ChannelConnectivity.READY
        before, self._stood[index] = self._stood[index], stands
        if before and not stands:
            self._on_lost()

    def answered(self, index: int) -> None:
        """An answer came by this channel, so its connection stood."""
        self._stood[index] = True


def state_reader(channel: grpc.Channel) -> Callable[[], grpc.ChannelConnectivity | None]:
    """What reads the state of a channel of threads, for which gRPC has no public call.

    Where a version of gRPC lacks the private one, nothing is read.
    """
    inner = getattr(channel, "_channel", None)
    check = getattr(inner, "check_connectivity_state", None)
    if check is None:
        return lambda: None
    by_number = {state.value[0]: state for state in grpc.ChannelConnectivity}
    return lambda: by_number.get(check(False))
