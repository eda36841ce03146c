"""Calls that wait until a test says go: what happens in between is then no matter of time."""

from __future__ import annotations

import threading
from types import TracebackType

__all__ = ["Hold"]

_TIMEOUT_S = 30.0


class Hold:
    """What `FakeServer.hold` gives. At the end of `with`, and at `heal`, the calls go on.

    Example:
        with server.hold(model="recommender") as held:
            answer = pool.submit(shop.front_page, "ann")
            held.wait()
            ...  # the call is at the server now, and is not answered
        assert answer.result()
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: dict[threading.Event, str] = {}
        self._released = False

    @property
    def waiting(self) -> int:
        """Calls that are held now."""
        with self._changed:
            return len(self._held)

    def wait(self, count: int = 1, *, timeout_s: float = _TIMEOUT_S) -> None:
        """Waits until so many calls are held at the same time.

        Under asyncio: `await asyncio.to_thread(held.wait)`, so that your client can go on.

        Raises:
            TimeoutError: fewer came.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._held) >= count, timeout_s):
                which = "; ".join(self._held.values())
                raise TimeoutError(
                    f"{len(self._held)} calls are held after {timeout_s:g} s, waited for {count}"
                    + (f": {which}" if which else "")
                )

    def release(self) -> None:
        """Lets all of them go on, and holds none that comes later."""
        with self._changed:
            self._released = True
            for ended in self._held:
                ended.set()

    def keep(self, call: str, ended: threading.Event) -> None:
        """Holds a call of the server; `ended` says that its client is gone."""
        with self._changed:
            if self._released:
                return
            self._held[ended] = call
            self._changed.notify_all()
        ended.wait()
        with self._changed:
            del self._held[ended]

    def __enter__(self) -> Hold:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
