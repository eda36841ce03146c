"""What a fake server does wrong, and when. Pure but for the waiting, which the server does."""

from __future__ import annotations

import random
import threading
from collections.abc import Collection
from dataclasses import dataclass, field

from dualtower.errors import UsageError
from dualtower_clients.testing.calls import Call
from dualtower_clients.testing.models import Refusal

__all__ = ["Fault", "Faults", "When"]


@dataclass
class When:
    """Which calls a fault is for: all conditions that are given have to hold.

    Attributes:
        model: that is asked for.
        method: such as "Predict".
        calls: by number, counted from 0 among the calls for which the above holds, beginning when
            the fault was set.
        share: of these calls, drawn with `seed`.
    """

    model: str | None = None
    method: str | None = None
    calls: Collection[int] | None = None
    share: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.share is not None and not 0 <= self.share <= 1:
            raise UsageError(f"share must be between 0 and 1, got {self.share}")
        self._random = random.Random(self.seed)
        self._count = 0

    def meets(self, call: Call) -> bool:
        """Counts the call, and says whether it is one of them."""
        if self.model is not None and call.model != self.model:
            return False
        if self.method is not None and call.method != self.method:
            return False
        number, self._count = self._count, self._count + 1
        if self.calls is not None and number not in self.calls:
            return False
        return self.share is None or self._random.random() < self.share


@dataclass(frozen=True)
class Fault:
    """What happens to a call.

    Attributes:
        delay_s: it waits so long first; infinity: until the client gives up.
        refusal: it ends with this.
        answer: these bytes are its answer.
        extra_bytes: its right answer grows by so much.
    """

    when: When
    delay_s: float = 0.0
    refusal: Refusal | None = None
    answer: bytes | None = None
    extra_bytes: int = 0


@dataclass
class Faults:
    """The faults that are set. Of several that a call meets, the delays add up."""

    _set: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: Fault) -> None:
        """Sets one more."""
        with self._lock:
            self._set.append(fault)

    def clear(self) -> None:
        """From now on all is well."""
        with self._lock:
            self._set.clear()

    def of(self, call: Call) -> list[Fault]:
        """Those that this call meets, in the order in which they were set."""
        with self._lock:
            return [fault for fault in self._set if fault.when.meets(call)]
