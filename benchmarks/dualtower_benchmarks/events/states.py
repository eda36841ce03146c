"""What a server says of its versions, seen again and again while something changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from dualtower_clients import ClientError, ServingClient

__all__ = ["LOOKS_S", "States"]

LOOKS_S = 0.05  # between two looks
_TIMEOUT_S = 5.0

Seen = dict[str, dict[int, str]]  # states of versions by model


class States:
    """Reads the states of all versions of some models in a thread; use it in a `with`.

    Example:
        with States(address, MODELS) as states:
            at_ns = states.first(lambda seen: seen["item_tower"].get(2) == "AVAILABLE", timeout_s=9)
    """

    def __init__(self, address: str, models: Sequence[str]) -> None:
        self._models = models
        self._client = ServingClient(address, timeout_s=_TIMEOUT_S)
        self._looked = threading.Condition()
        self._ended = threading.Event()
        self._seen: list[tuple[int, Seen]] = []  # when a look was over
        self._thread = threading.Thread(target=self._work, name="version-states", daemon=True)

    def __enter__(self) -> States:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()

    def first(
        self, is_so: Callable[[Seen], bool], *, timeout_s: float, from_ns: int = 0
    ) -> int | None:
        """The instant of the first look at or after `from_ns` where it is so; None: it was not."""
        deadline_s = time.monotonic() + timeout_s
        place = 0
        with self._looked:
            while True:
                while place < len(self._seen):
                    at_ns, seen = self._seen[place]
                    if at_ns >= from_ns and is_so(seen):
                        return at_ns
                    place += 1
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or not self._thread.is_alive():
                    return None
                self._looked.wait(min(left_s, 1.0))

    def look_before(self, at_ns: int) -> int:
        """The instant of the look before that at `at_ns`: until then it was not so."""
        with self._looked:
            return max((found for found, _ in self._seen if found < at_ns), default=at_ns)

    def _work(self) -> None:
        while not self._ended.wait(LOOKS_S):
            try:
                seen = {
                    name: {one.version: str(one.state) for one in self._client.status(name)}
                    for name in self._models
                }
            except ClientError:
                continue
            with self._looked:
                self._seen.append((time.monotonic_ns(), seen))
                self._looked.notify_all()
