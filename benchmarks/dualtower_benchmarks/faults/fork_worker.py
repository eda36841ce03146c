"""The process that forks, for the fault of that name: a fork concerns all that a process did.

One line of JSON in, `{"address": ..., "kind": ..., "calls": n}`; rows as JSON out.

    imported     fork ─► the child makes a client of its own ─► an answer
    used         the parent has asked ─► fork ─► the child asks the parent's client ─► ForkedClient
                                            └─► the parent goes on with it ─► an answer
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from dualtower_benchmarks.faults.census import census, surplus
from dualtower_benchmarks.faults.kinds import KINDS, Kind
from dualtower_benchmarks.faults.load import row_of
from dualtower_benchmarks.faults.question import SUM
from dualtower_benchmarks.faults.tally import Tally

__all__ = ["main"]

_TIMEOUT_S = 3.0


class Caller:
    """Asks with clients of one kind, and counts."""

    def __init__(self, kind: Kind, address: str, calls: int) -> None:
        self._kind, self._address, self._calls = kind, address, calls
        self._loop = asyncio.new_event_loop() if kind.name == "asyncio" else None
        self.tally = Tally()

    def open(self) -> Any:
        """A client."""
        return self._kind.serving(self._address)

    def ask(self, client: Any) -> None:
        """Some calls, of which each is counted."""
        for number in range(self._calls):
            token = self.tally.begin(_TIMEOUT_S)
            try:
                answer = self._done(SUM.ask(client, number, _TIMEOUT_S))
            except BaseException as error:
                self.tally.fail(token, error)
            else:
                self.tally.answer(token, right=SUM.is_answered(answer, number))

    def ask_anew(self) -> None:
        """As `ask`, with a client of its own."""
        client = self.open()
        self.ask(client)
        self.close(client)

    def close(self, client: Any) -> None:
        """Closes it."""
        self._done(client.close())

    def _done(self, result: Any) -> Any:
        return result if self._loop is None else self._loop.run_until_complete(result)


def main() -> None:
    """Forks twice, and says what came of it."""
    job = json.loads(sys.stdin.readline())
    kind = KINDS[job["kind"]]

    def caller() -> Caller:
        return Caller(kind, job["address"], job["calls"])

    rows = [_in_child("fork after import", kind.name, lambda: _asked_anew(caller()))]
    parent = caller()
    parent.ask_anew()  # what gRPC opens once, for good
    before = census()
    parent.tally = Tally()
    client = parent.open()
    parent.ask(client)
    rows.append(_in_child("fork after use: the child", kind.name, lambda: _asked(caller(), client)))
    parent.ask(client)
    parent.close(client)
    client = None
    rows.append(_row("fork after use: the parent", kind.name, parent.tally, surplus(before)))
    for row, proof in zip(rows, ("answered", "failed", "answered"), strict=True):
        found = row[proof]
        row["proofs"] = {proof: sum(found.values()) if isinstance(found, dict) else found}
    sys.stdout.write(json.dumps(rows))


def _asked_anew(caller: Caller) -> Tally:
    caller.ask_anew()
    return caller.tally


def _asked(caller: Caller, client: Any) -> Tally:
    caller.ask(client)
    return caller.tally


def _in_child(fault: str, kind: str, act: Callable[[], Tally]) -> dict[str, Any]:
    """The row of what a child process does; one that dies has a call that never ended."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        text = json.dumps(_row(fault, kind, act(), {}))
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        said = stream.read()
    os.waitpid(child, 0)
    row: dict[str, Any] = json.loads(said) if said else _row(fault, kind, Tally(), {}) | {"hung": 1}
    return row


def _row(fault: str, kind: str, tally: Tally, leaked: dict[str, int]) -> dict[str, Any]:
    return row_of(fault, kind, "a fake", _TIMEOUT_S, tally, tally.hung, leaked).as_json()


if __name__ == "__main__":
    main()
