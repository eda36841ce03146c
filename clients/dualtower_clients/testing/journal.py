"""What a fake server was asked, and which of it nobody waited for."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from dualtower_clients.testing.calls import Call

__all__ = ["Journal", "Which"]


@dataclass(frozen=True)
class Which:
    """Which calls are meant: all that is given has to hold."""

    model: str | None = None
    method: str | None = None
    signature: str | None = None

    def has(self, call: Call) -> bool:
        """No signature means `serving_default`, as it does to a model server."""
        return (
            (self.model is None or call.model == self.model)
            and (self.method is None or call.method == self.method)
            and (
                self.signature is None
                or (call.signature or "serving_default") == (self.signature or "serving_default")
            )
        )

    def __str__(self) -> str:
        said = [f"{key}={value!r}" for key, value in vars(self).items() if value is not None]
        return ", ".join(said) or "any"


@dataclass
class Journal:
    """Calls in the order in which they came, and in which they were given up."""

    calls: list[Call] = field(default_factory=list)
    abandoned: list[Call] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def came(self, call: Call) -> None:
        """Writes down a call."""
        with self._changed:
            self.calls.append(call)
            self._changed.notify_all()

    def gave_up(self, call: Call) -> None:
        """Writes down that nobody waits for it any more."""
        with self._changed:
            self.abandoned.append(call)
            self._changed.notify_all()

    def of(self, which: Which) -> list[Call]:
        """Those that came."""
        with self._changed:
            return [call for call in self.calls if which.has(call)]

    def wait(self, count: int, which: Which, *, abandoned: bool, timeout_s: float) -> list[Call]:
        """Waits until there are so many.

        Raises:
            TimeoutError: there are fewer.
        """
        calls = self.abandoned if abandoned else self.calls

        def found() -> list[Call]:
            return [call for call in calls if which.has(call)]

        with self._changed:
            if not self._changed.wait_for(lambda: len(found()) >= count, timeout_s):
                what = "were given up" if abandoned else "came"
                raise TimeoutError(
                    f"{len(found())} calls ({which}) {what} within {timeout_s:g} s, "
                    f"waited for {count}; of all methods and models: {len(calls)}"
                )
            return found()
