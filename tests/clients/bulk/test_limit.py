"""The limit of requests at a time, against servers that are simulated with their clock."""

from __future__ import annotations

import asyncio
import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtower_clients.bulk.gate import Gate
from dualtower_clients.bulk.limit import AdaptiveLimit

SERVICE_NS = 10_000_000


def simulate(limit: AdaptiveLimit, workers: int, answers: int, *, now_ns: int = 0) -> list[int]:
    """Keeps the limit's number of requests at a server with so many workers; limits over time."""
    free = [now_ns] * workers  # when each worker is
    under_way: list[int] = []
    seen = []
    for _ in range(answers):
        while len(under_way) < limit.value:
            begin_ns = max(heapq.heappop(free), now_ns)
            heapq.heappush(free, begin_ns + SERVICE_NS)
            heapq.heappush(under_way, begin_ns + SERVICE_NS)
        now_ns = heapq.heappop(under_way)
        limit.answered(100, now_ns)
        seen.append(limit.value)
    return seen


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 20])
def test_the_limit_comes_to_what_keeps_a_server_busy(workers):
    limit = AdaptiveLimit(64, 0)
    seen = simulate(limit, workers, 20_000)
    settled = seen[len(seen) // 2 :]
    assert min(settled) >= 0.8 * workers - 1
    assert max(settled) <= 1.5 * workers + 2


def test_the_limit_follows_a_server_that_becomes_larger():
    limit = AdaptiveLimit(64, 0)
    simulate(limit, 2, 2000)
    before = limit.value
    seen = simulate(limit, 16, 60_000, now_ns=10**12)
    assert max(seen) > before + 4


@given(
    most=st.integers(1, 64),
    events=st.lists(st.tuples(st.booleans(), st.integers(0, 10**9)), max_size=300),
)
def test_the_limit_stays_in_its_bounds(most, events):
    limit = AdaptiveLimit(most, 0)
    now_ns = 0
    for is_answer, pause_ns in events:
        began_ns, now_ns = now_ns, now_ns + pause_ns
        if is_answer:
            limit.answered(10, now_ns)
        else:
            limit.overloaded(began_ns, now_ns)
        assert 1 <= limit.value <= most


def test_a_burst_of_refusals_halves_once():
    limit = AdaptiveLimit(64, 0)
    simulate(limit, 32, 5000)
    before, now_ns = limit.value, 10**12
    for late in range(before):  # all that were under way
        limit.overloaded(now_ns, now_ns + 1000 + late)
    assert limit.value == before // 2
    limit.overloaded(now_ns + 10**9, now_ns + 2 * 10**9)  # sent after that
    assert limit.value == before // 4


def test_a_server_that_was_lost_soon_has_as_much_to_do_as_before():
    limit = AdaptiveLimit(64, 0)
    simulate(limit, 16, 5000)
    before, now_ns = limit.value, 10**12
    for time_of in range(10):  # asked again and again while it is away
        limit.overloaded(now_ns + 2 * time_of, now_ns + 2 * time_of + 1, is_lost=True)
    assert limit.value == 1
    assert max(simulate(limit, 16, 400, now_ns=2 * now_ns)) >= before // 2


def test_the_gate_lets_in_the_earliest_batch_first():
    async def scenario() -> list[int]:
        limit = AdaptiveLimit(1, 0)
        gate, order = Gate(limit), []

        async def pass_through(rank: int) -> None:
            async with gate.passed(rank):
                order.append(rank)
                await asyncio.sleep(0)

        await asyncio.gather(*(pass_through(rank) for rank in (5, 9, 1, 7, 3)))
        return order

    assert asyncio.run(scenario()) == [5, 1, 3, 7, 9]


def test_the_gate_holds_as_many_as_the_limit_says():
    async def scenario() -> None:
        limit = AdaptiveLimit(4, 0)
        limit.value = 4
        gate, inside = Gate(limit), 0

        async def pass_through(rank: int) -> None:
            nonlocal inside
            async with gate.passed(rank):
                inside += 1
                assert inside <= 4
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(pass_through(rank) for rank in range(50)))

    asyncio.run(scenario())


def test_who_is_cancelled_before_or_behind_the_gate_leaves_it_free():
    async def scenario() -> None:
        limit = AdaptiveLimit(1, 0)
        gate = Gate(limit)

        async def stay() -> None:
            async with gate.passed(0):
                await asyncio.Event().wait()

        inside, waiting, next_one = (asyncio.create_task(stay()) for _ in range(3))
        await asyncio.sleep(0)
        waiting.cancel()
        inside.cancel()
        next_one.cancel()
        await asyncio.gather(inside, waiting, next_one, return_exceptions=True)

        async def pass_through() -> str:
            async with gate.passed(1):
                return "through"

        assert await asyncio.wait_for(pass_through(), 10) == "through"

    asyncio.run(scenario())
