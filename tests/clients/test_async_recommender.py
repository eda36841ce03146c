"""What only a recommender of asyncio can meet: many tasks, cancelled tasks, event loops."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import time

import numpy as np
import pytest

from dualtower.bundle import MODELS
from dualtower.errors import UsageError
from dualtower_clients import (
    BundleMismatch,
    CallCancelled,
    CallPolicy,
    ClientError,
    DeadlineExceeded,
    HedgePolicy,
    ModelNotFound,
    RetryPolicy,
    ServerUnreachable,
)
from dualtower_clients.async_recommender import AsyncRecommender
from dualtower_clients.testing import FakeServer, hash_vectors

ITEMS = {f"i{number}": f"item number {number}" for number in range(8)}
IMPATIENT = CallPolicy(retry=RetryPolicy(max_attempts=2, initial_pause_s=0.01))


@pytest.fixture
def server():
    with FakeServer.with_bundle(ITEMS) as one:
        yield one


def describes(server: FakeServer) -> int:
    return sum(call.signature == "describe" for call in server.calls)


def test_a_thousand_calls_at_a_time_get_their_own_answers(server):
    async def run():
        async with AsyncRecommender(server.address, timeout_s=60) as client:
            return await asyncio.gather(
                *(client.recommend_by_ids([f"i{n % 8}"], k=7) for n in range(1000))
            )

    for number, answer in enumerate(asyncio.run(run())):
        assert sorted([*answer.item_ids, f"i{number % 8}"]) == list(ITEMS)


def test_tasks_that_meet_a_new_version_together_check_it_once(server):
    async def run() -> list[int]:
        async with AsyncRecommender(server.address, timeout_s=60) as client:
            server.add_bundle(ITEMS, version=2, salt="b")
            server.calls.clear()
            answers = await asyncio.gather(*(client.recommend([], k=1) for _ in range(200)))
        return [one.version for one in answers]

    assert asyncio.run(run()) == [2] * 200
    assert describes(server) < 20


def test_without_a_context_the_first_call_checks_the_pair(server):
    async def run() -> None:
        client = AsyncRecommender(server.address)
        assert not server.calls
        assert (await client.recommend([], k=1)).version == 1
        await client.close()
        with pytest.raises(CallCancelled, match="closed"):
            await client.recommend([], k=1)
        refused = AsyncRecommender(server.address, expect_fingerprint="0" * 64)
        for _ in range(2):
            with pytest.raises(BundleMismatch, match="the caller's"):
                await refused.recommend([], k=1)
        await refused.close()

    asyncio.run(run())
    with pytest.raises(UsageError, match="not both"):
        AsyncRecommender(server.address, version=1, label="stable")


def test_connect_waits_for_a_server_that_starts(server):
    server.stop()

    async def run() -> int:
        client = AsyncRecommender(server.address, wait_s=30)
        connecting = asyncio.ensure_future(client.connect())
        await asyncio.sleep(0.1)
        assert not connecting.done()
        await asyncio.to_thread(server.start)
        await connecting
        answer = await client.recommend([], k=1)
        await client.close()
        return answer.version

    assert asyncio.run(run()) == 1


def test_a_recommender_belongs_to_the_loop_of_its_first_call(server):
    client = AsyncRecommender(server.address)
    first = asyncio.new_event_loop()
    first.run_until_complete(client.connect())
    with pytest.raises(UsageError, match="another event loop"):
        asyncio.run(client.recommend([], k=1))
    first.run_until_complete(client.close())
    first.close()


def test_cancelled_tasks_leave_no_task_and_no_lock(server):
    async def run() -> None:
        async with AsyncRecommender(server.address, timeout_s=50) as client:
            server.add_bundle(ITEMS, version=2, salt="b")
            server.delay(math.inf, model="user_tower")  # the check hangs, and the others wait
            waiting = [asyncio.ensure_future(client.recommend([], k=1)) for _ in range(20)]
            while not any(call.model == "user_tower" for call in server.calls[3:]):
                await asyncio.sleep(0.01)
            for task in waiting:
                task.cancel()
            found = await asyncio.gather(*waiting, return_exceptions=True)
            assert {type(one) for one in found} == {asyncio.CancelledError}
            server.heal()
            assert (await client.recommend([], k=1)).version == 2
        await _no_task_is_left()

    asyncio.run(run())


def test_those_who_wait_for_a_check_have_their_own_deadlines(server):
    async def run() -> None:
        async with AsyncRecommender(server.address, timeout_s=50) as client:
            server.add_bundle(ITEMS, version=2, salt="b")
            server.delay(math.inf, model="user_tower")
            patient = asyncio.ensure_future(client.recommend([], k=1))
            while not any(call.model == "user_tower" for call in server.calls[3:]):
                await asyncio.sleep(0.01)
            with pytest.raises(DeadlineExceeded, match=r"checked within 0\.2 s"):
                await client.recommend([], k=1, timeout_s=0.2)
            assert not patient.done()
            patient.cancel()
            await asyncio.gather(patient, return_exceptions=True)
        await _no_task_is_left()

    asyncio.run(run())


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="Linux counts them")
def test_recommenders_that_come_and_go_leave_no_descriptor(server):
    async def use() -> None:
        addresses = [server.address, f"127.0.0.1:{server.port}"]
        async with AsyncRecommender(addresses, policy=IMPATIENT) as client:
            await asyncio.gather(*(client.recommend([], k=1) for _ in range(20)))
            async with await client.pinned() as pair:
                cancelled = asyncio.ensure_future(pair.embed_items(["a"]))
                await asyncio.sleep(0)
                cancelled.cancel()
                await asyncio.gather(cancelled, return_exceptions=True)
        await _no_task_is_left()

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    asyncio.run(use())
    before = descriptors()
    for _ in range(8):
        asyncio.run(use())
    deadline = time.monotonic() + 20
    while descriptors() > before:  # gRPC closes its sockets a moment after the channel
        assert time.monotonic() < deadline
        gc.collect()
        time.sleep(0.02)


async def _no_task_is_left() -> None:
    for _ in range(200):
        if len(asyncio.all_tasks()) == 1:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(asyncio.all_tasks())


class Hammer:
    """Tasks that ask without pause, and hold each vector against the space that its answer names.

    Attributes:
        answers: by salt of their space.
        failed: calls that raised something named.
        wrong: anything else.
    """

    def __init__(self, address: str, salts: dict[str, str], **settings) -> None:
        self._address, self._settings = address, settings
        self._wanted = {
            fingerprint: (salt, hash_vectors(["rye bread"], dim=16, salt=salt))
            for fingerprint, salt in salts.items()
        }
        self.answers = dict.fromkeys(salts.values(), 0)
        self.failed: list[ClientError] = []
        self.wrong: list[object] = []

    async def run(self, ending: asyncio.Event) -> None:
        async with AsyncRecommender(self._address, **self._settings) as client:
            await asyncio.gather(*(self._ask(client, ending) for _ in range(16)))

    async def _ask(self, client: AsyncRecommender, ending: asyncio.Event) -> None:
        while not ending.is_set():
            try:
                answer = await client.embed_items(["rye bread"])
            except ClientError as error:
                self.failed.append(error)
                await asyncio.sleep(0.002)
                continue
            except Exception as error:
                self.wrong.append(error)
                return
            salt, wanted = self._wanted[answer.fingerprint]
            self.answers[salt] += 1
            if not np.array_equal(answer.vectors, wanted):
                self.wrong.append((answer.version, salt))

    async def reaches(self, salt: str, more: int) -> None:
        """Waits for so many further answers of a space."""
        until, deadline = self.answers[salt] + more, time.monotonic() + 30
        while self.answers[salt] < until:
            assert time.monotonic() < deadline, (self.answers, self.failed[-1:], self.wrong[-1:])
            await asyncio.sleep(0.005)


def fingerprints(*salts: str) -> dict[str, str]:
    """Salts by fingerprint."""

    async def ask(salt: str) -> str:
        with FakeServer.with_bundle(ITEMS, salt=salt) as server:
            async with AsyncRecommender(server.address) as client:
                return (await client.recommend([], k=1)).fingerprint

    return {asyncio.run(ask(salt)): salt for salt in salts}


async def hammered(hammer: Hammer, disturb) -> None:
    """Runs a hammer while `disturb` runs; it begins in the space of the empty salt."""
    ending = asyncio.Event()
    running = asyncio.ensure_future(hammer.run(ending))
    try:
        await hammer.reaches("", 20)
        await disturb()
    finally:
        ending.set()
        await running


def test_a_label_that_moves_under_load_never_mixes_two_spaces(server):
    salts = fingerprints("", "b")
    hammer = Hammer(server.address, salts, label="stable", timeout_s=60)

    def point(version: int) -> None:
        for name in MODELS:
            server.set_label(name, "stable", version)

    async def swap() -> None:
        for version in (2, 1) * 10:
            point(version)
            await hammer.reaches("b" if version == 2 else "", 20)

    server.add_bundle(ITEMS, version=2, salt="b")
    point(1)
    asyncio.run(hammered(hammer, swap))
    assert not hammer.wrong
    assert not hammer.failed, "under a label that moves no call fails"


def test_versions_that_replace_each_other_under_load_never_mix_two_spaces(server):
    """As a server without labels does it: the new one loads, and the old one goes."""
    salts = fingerprints("", "b")
    hammer = Hammer(server.address, salts, timeout_s=60)

    async def swap() -> None:
        for version in range(2, 12):
            salt = "b" if version % 2 == 0 else ""
            server.add_bundle(ITEMS, version=version, salt=salt)
            for name in MODELS:
                server.set_state(name, version - 1, "END")
            await hammer.reaches(salt, 20)

    asyncio.run(hammered(hammer, swap))
    assert all(isinstance(one, BundleMismatch) for one in hammer.wrong), "half of a swap is seen"
    assert all(isinstance(one, ModelNotFound) for one in hammer.failed)


def test_a_server_that_is_killed_and_comes_back_with_another_bundle_under_load(server):
    """Its version stays 1: only the loss of its connection tells that it may be another one."""
    salts = fingerprints("", "b")
    hammer = Hammer(server.address, salts, policy=IMPATIENT, timeout_s=20)

    async def restart() -> None:
        for salt in ("b", "") * 4:
            await asyncio.to_thread(server.stop)
            server.add_bundle(ITEMS, salt=salt)
            await asyncio.to_thread(server.start)
            await hammer.reaches(salt, 20)

    asyncio.run(hammered(hammer, restart))
    assert not hammer.wrong
    assert {type(one) for one in hammer.failed} <= {ServerUnreachable, DeadlineExceeded}


def test_hedges_do_not_have_the_pair_checked_each_time(server):
    policy = CallPolicy(hedge=HedgePolicy(min_observations=5, percentile=50, max_extra=1.0))

    async def run() -> int:
        async with AsyncRecommender(server.address, policy=policy) as client:
            for _ in range(20):
                await client.recommend([], k=1)
            server.delay(0.03, share=0.5)
            before = describes(server)
            answers = [await client.recommend([], k=1) for _ in range(20)]
            assert max(one.attempts for one in answers) == 2
            return describes(server) - before

    assert asyncio.run(run()) < 20
