"""What only a client of asyncio can meet: many calls at a time, cancelled tasks, event loops."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from serving_clients import predicted

from dualtower.errors import UsageError
from dualtower_clients import (
    AsyncServingClient,
    CallCancelled,
    CallPolicy,
    DeadlineExceeded,
    HedgePolicy,
    RetryPolicy,
)


def test_a_thousand_calls_at_a_time_get_their_own_answers(server):
    one = server(threads=16)
    one.add_model("m", lambda inputs: {"y": inputs["x"]})

    async def run() -> list[int]:
        async with AsyncServingClient(one.address, timeout_s=60) as client:
            answers = await asyncio.gather(
                *(client.predict("m", {"x": np.int64([place])}) for place in range(1000))
            )
        return [int(answer.outputs["y"][0]) for answer in answers]

    assert asyncio.run(run()) == list(range(1000))
    assert predicted(one) == 1000


def test_a_thousand_deadlines_that_end_together_are_a_thousand_named_errors(server):
    one = server()
    one.hold()

    async def run() -> list[object]:
        async with AsyncServingClient(one.address) as client:
            found = await asyncio.gather(
                *(client.predict("m", {}, timeout_s=0.3) for _ in range(1000)),
                return_exceptions=True,
            )
            assert len(asyncio.all_tasks()) == 1
            return found

    errors = asyncio.run(run())
    assert {type(error) for error in errors} == {DeadlineExceeded}


def test_a_task_that_is_cancelled_cancels_its_call(server):
    one = server()
    held = one.hold(calls=[0])

    async def run() -> None:
        async with AsyncServingClient(one.address, timeout_s=50) as client:
            task = asyncio.ensure_future(client.predict("m", {}))
            await asyncio.to_thread(held.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(one.wait_for_abandoned)
            assert client._pool._traffic.balancer.outstanding == 0
            await client.predict("m", {})

    asyncio.run(run())


def test_a_task_that_is_cancelled_cancels_both_attempts_of_a_hedged_call(server):
    one = server()
    hedged = CallPolicy(hedge=HedgePolicy(min_observations=5))

    async def run() -> None:
        async with AsyncServingClient(one.address, timeout_s=50, policy=hedged) as client:
            for _ in range(10):
                await client.predict("m", {})
            held = one.hold()
            task = asyncio.ensure_future(client.predict("m", {}))
            await asyncio.to_thread(held.wait, 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert client._pool._traffic.balancer.outstanding == 0
            await asyncio.to_thread(one.wait_for_abandoned, 2)

    asyncio.run(run())


def test_closing_ends_running_calls_and_pauses(server):
    one = server()
    one.fail("UNAVAILABLE", "later", method="GetModelStatus")
    held = one.hold(method="Predict")

    async def run() -> list[object]:
        pausing = CallPolicy(retry=RetryPolicy(initial_pause_s=1000, max_pause_s=1000))
        client = AsyncServingClient(one.address, timeout_s=9000, policy=pausing)
        tasks = [
            asyncio.ensure_future(client.predict("m", {})),
            asyncio.ensure_future(client.status("m")),
        ]
        await asyncio.to_thread(held.wait)
        await asyncio.to_thread(one.wait_for_calls, 2)
        await asyncio.sleep(0.05)  # the status call is in its pause by now, or on its way there
        await client.close()
        await client.close()
        return await asyncio.gather(*tasks, return_exceptions=True)

    errors = asyncio.run(run())
    assert [type(error) for error in errors] == [CallCancelled, CallCancelled]


def test_a_client_belongs_to_the_loop_of_its_first_call(server):
    client = AsyncServingClient(server().address)  # made where no loop runs
    first = asyncio.new_event_loop()
    first.run_until_complete(client.predict("m", {}))
    with pytest.raises(UsageError, match="another event loop"):
        asyncio.run(client.predict("m", {}))
    first.run_until_complete(client.predict("m", {}))
    first.run_until_complete(client.close())
    with pytest.raises(CallCancelled, match="closed"):
        first.run_until_complete(client.predict("m", {}))
    first.close()


def test_a_client_that_was_never_used_closes(server):
    async def run() -> None:
        async with AsyncServingClient(server().address):
            pass

    asyncio.run(run())


def test_a_slow_answer_does_not_hold_up_the_others(server):
    one = server()
    for name in ("slow", "quick"):
        one.add_model(name, {"y": np.int32([1])})
    held = one.hold(model="slow")

    async def run() -> int:
        async with AsyncServingClient(one.address, timeout_s=50) as client:
            slow = asyncio.ensure_future(client.predict("slow", {}))
            quick = await asyncio.gather(*(client.predict("quick", {}) for _ in range(50)))
            assert not slow.done()
            held.release()
            await slow
        return len(quick)

    assert asyncio.run(run()) == 50
