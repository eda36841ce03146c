"""Overload of real servers whose truth is made: one works for callers who are gone."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dualtower.bundle import Bundle
from dualtower_benchmarks.events.linked import linked_bundle
from dualtower_benchmarks.events.read import events_scenario
from dualtower_benchmarks.scenario.run import run_scenario
from dualtower_clients import Recommender
from dualtower_clients.testing import FakeServer, Refusal

ITEMS = {f"i{row}": f"item number {row}" for row in range(8)}
SERVICE_S = 0.02
EVENT = {
    "model": "recommender", "shares": "0.5 2", "capacity_s": 1.0, "measured_s": 3.0,
    "recovery_s": 1.5, "warmup_s": 0.5, "deadline_ms": 800.0, "slo_p99_ms": 400.0,
}  # fmt: skip


class OneAtATime:
    """Ranks nothing, slowly, and never two requests at once.

    Args:
        most_waiting: a further one is refused, as a server's full queue does.
    """

    def __init__(self, most_waiting: int) -> None:
        self._most_waiting, self._waiting = most_waiting, 0
        self._count, self._work = threading.Lock(), threading.Lock()

    def __call__(self, *_: Any) -> Sequence[str]:
        with self._count:
            if self._waiting >= self._most_waiting:
                raise Refusal("UNAVAILABLE", "the queue is full")
            self._waiting += 1
        with self._work:
            time.sleep(SERVICE_S)
        with self._count:
            self._waiting -= 1
        return list(ITEMS)


def overloaded(bundle: Bundle, folder: Path, *, most_waiting: int) -> dict[str, Any]:
    """The row of an overload of a fake server that takes in so many calls."""
    with FakeServer.with_bundle(
        ITEMS, history_items=6, k_max=8, rank=OneAtATime(most_waiting)
    ) as server:
        with Recommender(server.address) as client:
            fingerprint = client.describe()["recommender"].fingerprint
        copy = linked_bundle(bundle, folder / "bundle")
        manifest = copy.path / "bundle.json"
        text = json.dumps({**bundle.manifest, "fingerprint": fingerprint})
        manifest.unlink()  # a link to that of the other bundle
        manifest.write_text(text)
        changed = [("event", name, value) for name, value in EVENT.items()]
        scenario = events_scenario(["overload"], changed=changed)
        document = run_scenario(scenario, copy.path, out=folder / "o.json", address=server.address)
    row: dict[str, Any] = document["events"]["rows"][-1]
    return row


@pytest.mark.slow
@pytest.mark.parametrize(("most_waiting", "verdict"), [(10, "holds"), (64, "collapses")])
def test_the_verdict_is_the_truth(
    small_bundle: Bundle, tmp_path: Path, most_waiting: int, verdict: str
) -> None:
    """64 requests take 1.3 s to work off, longer than their deadline; ten take 0.2 s."""
    row = overloaded(small_bundle, tmp_path, most_waiting=most_waiting)
    found = row["overload"]
    assert 0 < row["capacity_qps"] < 1 / SERVICE_S + 1
    half, double = found["steps"]
    assert half["generator_cores"] > 0
    assert half["server_cores"] is None  # at an address
    # the machine's other work may hold up the generator, or the loop that finds the capacity
    if row["void"] is None and double["offered_qps"] > 1.6 / SERVICE_S:
        assert half["good"] == half["due"]
        assert bool(double["rejected"]) == (verdict == "holds")
        assert found["verdict"] == verdict, found
