"""Ctrl-C and SIGTERM as a flag, so that a step is never cut in half."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["stop_signal"]


@contextmanager
def stop_signal() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C or SIGTERM into a flag, so that a step is never cut in half."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def raise_flag(number: int, _: object) -> None:
        if flag.is_set():  # asked twice: do not wait for the checkpoint
            raise KeyboardInterrupt
        flag.set()

    for number in before:
        signal.signal(number, raise_flag)
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
