"""A client that is closed leaves nothing behind: no descriptors, no threads, no tasks."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time

import pytest

from dualtower_clients import (
    AsyncServingClient,
    BalancePolicy,
    CallPolicy,
    ClientError,
    HedgePolicy,
    Recommender,
    ServerUnreachable,
    ServingClient,
)
from dualtower_serving.launch import free_port

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="Linux counts them")

HEDGED = CallPolicy(
    hedge=HedgePolicy(min_observations=2, percentile=1, max_extra=1.0),
    balance=BalancePolicy(eject_after=1000),
)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def threads() -> int:
    """All but those of the servers, which start as they are needed."""
    return sum(not one.name.startswith("fake-server") for one in threading.enumerate())


def wait_for_at_most(limit: int, count) -> None:
    """gRPC closes its sockets a moment after the channel."""
    deadline = time.monotonic() + 20
    while (found := count()) > limit:
        assert time.monotonic() < deadline, f"{found} are left, {limit} were there before"
        gc.collect()
        time.sleep(0.02)


def use(addresses: list[str]) -> None:
    with ServingClient(addresses, policy=HEDGED) as client:
        for _ in range(8):
            try:
                client.predict("m", {}, timeout_s=0.5)
            except ClientError:
                continue


async def use_async(addresses: list[str]) -> int:
    async with AsyncServingClient(addresses, policy=HEDGED) as client:
        calls = [client.predict("m", {}, timeout_s=0.5) for _ in range(20)]
        await asyncio.gather(*calls, return_exceptions=True)
        cancelled = asyncio.ensure_future(client.predict("m", {}))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
    for _ in range(100):
        if len(asyncio.all_tasks()) == 1:
            break
        await asyncio.sleep(0.01)
    return len(asyncio.all_tasks())


@pytest.fixture
def addresses(server) -> list[str]:
    """Of a server that answers, one that is slow, one that fails, and nobody."""
    slow, failed = server(), server()
    slow.delay(0.05)
    failed.fail("INTERNAL")
    return [server().address, slow.address, failed.address, f"127.0.0.1:{free_port()}"]


def test_clients_of_threads_leave_nothing(addresses):
    use(addresses)  # what gRPC opens once, for good
    time.sleep(0.1)
    before = descriptors(), threads()
    for _ in range(10):
        use(addresses)
    wait_for_at_most(before[0], descriptors)
    wait_for_at_most(before[1], threads)


def test_clients_of_asyncio_leave_nothing(addresses):
    asyncio.run(use_async(addresses))
    time.sleep(0.1)
    before = descriptors(), threads()
    for _ in range(10):
        assert asyncio.run(use_async(addresses)) == 1, "only the task that asks"
    wait_for_at_most(before[0], descriptors)
    wait_for_at_most(before[1], threads)


def test_a_client_that_could_not_be_made_leaves_nothing():
    address = f"127.0.0.1:{free_port()}"

    def fail() -> None:
        with pytest.raises(ServerUnreachable):
            Recommender(address, policy=CallPolicy(retry=None))

    fail()
    before = descriptors()
    for _ in range(10):
        fail()
    wait_for_at_most(before, descriptors)
