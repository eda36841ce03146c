"""What a process holds that a closed client must have given back."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Mapping

import grpc
import grpc.aio

__all__ = ["census", "surplus"]

_SETTLE_S = 5.0  # gRPC closes its sockets a moment after the channel
_POLL_S = 0.02
_DESCRIPTORS = "/proc/self/fd"  # of Linux


def census() -> dict[str, int]:
    """Python threads, open file descriptors (0 where they cannot be counted), channels."""
    gc.collect()
    return {
        "threads": threading.active_count(),
        "descriptors": len(os.listdir(_DESCRIPTORS)) if os.path.isdir(_DESCRIPTORS) else 0,
        "channels": sum(_is_channel(one) for one in gc.get_objects()),
    }


def surplus(before: Mapping[str, int]) -> dict[str, int]:
    """What is there now beyond `before`, once it does not shrink any more or is nothing."""
    deadline_s = time.monotonic() + _SETTLE_S
    while True:
        now = census()
        found = {what: max(0, now[what] - before[what]) for what in before}
        if not any(found.values()) or time.monotonic() > deadline_s:
            return found
        time.sleep(_POLL_S)


def _is_channel(one: object) -> bool:
    # not isinstance: it asks an object for its __class__, which some objects answer with an import
    return issubclass(type(one), (grpc.Channel, grpc.aio.Channel))
