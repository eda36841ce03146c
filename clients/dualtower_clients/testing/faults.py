"""What a fake server does wrong, and when. Pure but for the waiting, which the server does."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from types import TracebackType

from dualtower.errors import UsageError
from dualtower_clients.testing.calls import Call
from dualtower_clients.testing.holding import Hold
from dualtower_clients.testing.journal import Which
from dualtower_clients.testing.models import Refusal

__all__ = ["Fault", "Faults", "Scripted", "When"]


@dataclass
class When:
    """Which calls a fault is for: all conditions that are given have to hold.

    Attributes:
        which: by model, method and signature.
        calls: by number, counted from 0 among the calls for which the above holds, beginning when
            the fault was set.
        share: of these calls, drawn with `seed`.
    """

    which: Which = field(default_factory=Which)
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
        if not self.which.has(call):
            return False
        number, self._count = self._count, self._count + 1
        if self.calls is not None and number not in self.calls:
            return False
        return self.share is None or self._random.random() < self.share


@dataclass
class Fault:
    """What happens to a call.

    Attributes:
        when: to which calls.
        delay_s: it waits so long first; infinity: until the client gives up.
        hold: it waits until this is released.
        refusal: it ends with this.
        answer: these bytes are its answer, or what the function makes of the call.
        extra_bytes: its right answer grows by so much.
        met: so many calls have met it.
    """

    when: When
    delay_s: float = 0.0
    hold: Hold | None = None
    refusal: Refusal | None = None
    answer: bytes | Callable[[Call], bytes] | None = None
    extra_bytes: int = 0
    met: int = 0


class Scripted:
    """A fault that a test has set; at the end of `with` it alone is over.

    Example:
        with server.fail("UNAVAILABLE", model="recommender") as fault:
            assert shop.front_page("ann") == best_sellers
        assert fault.met == 3  # the attempts of one call
    """

    def __init__(self, faults: Faults, fault: Fault) -> None:
        self._faults, self._fault = faults, fault

    @property
    def met(self) -> int:
        """So many calls have met it."""
        return self._fault.met

    def end(self) -> None:
        """Ends this one; `FakeServer.heal` ends all."""
        self._faults.remove(self._fault)

    def __enter__(self) -> Scripted:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()


@dataclass
class Faults:
    """The faults that are set. Of several that a call meets, the delays add up."""

    _set: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: Fault) -> Scripted:
        """Sets one more."""
        with self._lock:
            self._set.append(fault)
        return Scripted(self, fault)

    def remove(self, ended: Fault) -> None:
        """Ends one, if it is still there."""
        with self._lock:
            self._set = [fault for fault in self._set if fault is not ended]

    def clear(self) -> None:
        """From now on all is well."""
        with self._lock:
            for fault in self._set:
                if fault.hold is not None:
                    fault.hold.release()
            self._set.clear()

    def of(self, call: Call) -> list[Fault]:
        """Those that this call meets, in the order in which they were set."""
        with self._lock:
            met = [fault for fault in self._set if fault.when.meets(call)]
            for fault in met:
                fault.met += 1
            return met
