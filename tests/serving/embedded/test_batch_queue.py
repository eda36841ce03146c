"""One queue, step by step: what is admitted, when it is due, what is handed out."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtower_serving.embedded.batch_queue import Batch, BatchQueue, Request
from dualtower_serving.embedded.batching_settings import BatchingSettings
from dualtower_serving.embedded.pace import Pace
from dualtower_serving.embedded.status import Code, StatusError


def queue_of(**parameters: Any) -> BatchQueue:
    return BatchQueue(BatchingSettings(**parameters), ("x:0",), ("y:0",), Pace())


def request_of(rows: int, first: int = 0) -> Request:
    feeds = {"x:0": np.arange(first, first + rows)}
    return Request(feeds, ("y:0",), rows, None, asyncio.Future(loop=LOOP), 0)


LOOP = asyncio.new_event_loop()  # owns futures that nobody resolves


@pytest.fixture(autouse=True, scope="module")
def closed_loop():
    yield
    LOOP.close()


def add(queue: BatchQueue, *rows: int, now_ns: int = 0) -> list[Request]:
    requests = [request_of(count) for count in rows]
    for request in requests:
        queue.add(request, now_ns)
    return requests


def sizes(batch: Batch) -> list[int]:
    return [piece.rows for piece in batch.pieces]


def test_an_empty_queue_is_never_due():
    queue = queue_of()
    assert (queue.due_ns(), queue.ready(10**18), len(queue)) == (None, 0, 0)


def test_a_partial_batch_is_due_after_the_timeout_of_its_first_request():
    queue = queue_of(max_batch_size=4, batch_timeout_micros=2)
    add(queue, 1, now_ns=100)
    add(queue, 2, now_ns=900)
    assert queue.due_ns() == 2100
    assert (queue.ready(2099), queue.ready(2100)) == (0, 1)
    assert sizes(queue.take()) == [1, 2]
    assert queue.due_ns() is None


def test_a_full_batch_is_due_at_once():
    queue = queue_of(max_batch_size=4, batch_timeout_micros=1000)
    add(queue, 3, 1)
    assert (queue.due_ns(), queue.ready(0)) == (0, 1)


def test_a_request_that_does_not_fit_closes_the_batch():
    queue = queue_of(max_batch_size=4, batch_timeout_micros=1000)
    add(queue, 3, 2, 1)
    assert (queue.due_ns(), queue.ready(0), len(queue)) == (0, 1, 2)
    assert sizes(queue.take()) == [3]
    assert queue.due_ns() == 1_000_000
    assert sizes(queue.take()) == [2, 1]


def test_a_batch_that_is_late_goes_on_filling():
    queue = queue_of(max_batch_size=4, batch_timeout_micros=1)
    add(queue, 1)
    add(queue, 2, now_ns=10**9)
    assert sizes(queue.take()) == [1, 2]


@pytest.mark.parametrize("splitting", [False, True])
def test_more_rows_than_a_request_may_have(splitting):
    queue = queue_of(
        max_batch_size=4, enable_large_batch_splitting=splitting, max_execution_batch_size=2
    )
    with pytest.raises(StatusError) as caught:
        add(queue, 5)
    assert caught.value.code == Code.INVALID_ARGUMENT
    assert caught.value.message == "Task size 5 is larger than maximum input batch size 4"
    assert len(queue) == 0


def test_a_full_queue():
    queue = queue_of(max_batch_size=1, max_enqueued_batches=2)
    add(queue, 1, 1)
    with pytest.raises(StatusError) as caught:
        add(queue, 1)
    assert caught.value.code == Code.UNAVAILABLE
    assert caught.value.message == (
        "The batch scheduling queue to which this task was submitted is full; "
        "currently 2 batches enqueued and max_enqueued_batches is 2"
    )
    queue.take()
    add(queue, 1)
    assert len(queue) == 2


def test_without_room_for_batches_the_open_one_still_fills():
    queue = queue_of(max_batch_size=4, max_enqueued_batches=0)
    add(queue, 2, 2)
    with pytest.raises(StatusError, match="max_enqueued_batches is 1"):
        add(queue, 1)
    assert sizes(queue.take()) == [2, 2]


def test_a_large_request_is_spread_over_batches():
    queue = queue_of(
        max_batch_size=16, max_execution_batch_size=4, enable_large_batch_splitting=True
    )
    small, large = add(queue, 1, 10)
    assert (len(queue), queue.ready(0)) == (3, 3)
    assert [sizes(queue.take()) for _ in range(3)] == [[1, 3], [4], [3]]
    assert len(small.pieces) == 1
    pieces = [piece.feed("x:0").tolist() for piece in large.pieces]
    assert pieces == [[0, 1, 2], [3, 4, 5, 6], [7, 8, 9]]


def test_a_request_of_which_only_a_part_has_room_is_refused_whole():
    queue = queue_of(
        max_batch_size=16,
        max_execution_batch_size=4,
        enable_large_batch_splitting=True,
        max_enqueued_batches=2,
    )
    add(queue, 3)
    with pytest.raises(StatusError) as caught:
        add(queue, 6)
    assert caught.value.code == Code.UNAVAILABLE
    assert caught.value.message == (
        "The batch scheduling queue to which this task was submitted is full; task size is 6 but "
        "scheduling capacity is only 5 (num_enqueued_batches=1, max_enqueued_batches=2, "
        "open_batch_size=3, max_execution_batch_size=4)"
    )
    add(queue, 5)
    assert [sizes(queue.take()) for _ in range(2)] == [[3, 1], [4]]


def test_no_rows_get_a_batch_of_their_own_that_need_not_wait():
    queue = queue_of(max_batch_size=4, batch_timeout_micros=1000, max_enqueued_batches=1)
    add(queue, 2, 0)
    assert queue.ready(0) == 1
    assert sizes(queue.take()) == [0]
    assert sizes(queue.take()) == [2]
    add(queue, 0)
    with pytest.raises(StatusError, match="is full"):
        add(queue, 0)


def test_who_leaves_gives_back_the_room():
    queue = queue_of(max_batch_size=4, batch_timeout_micros=1000, max_enqueued_batches=1)
    first, second, third = add(queue, 2, 1, 1)
    queue.remove(second)
    assert queue.due_ns() == 1_000_000  # no longer full
    add(queue, 1)
    queue.remove(second)  # once more changes nothing
    batch = queue.take()
    assert [piece.request for piece in batch.pieces][:2] == [first, third]
    assert batch.rows == 4
    queue.remove(first)  # it runs already
    assert batch.rows == 4


def test_a_closed_batch_that_all_have_left_is_gone():
    queue = queue_of(
        max_batch_size=8, max_execution_batch_size=2, enable_large_batch_splitting=True
    )
    (large,) = add(queue, 7)
    queue.take()
    queue.remove(large)
    assert (len(queue), queue.due_ns()) == (0, None)
    add(queue, 2)
    assert sizes(queue.take()) == [2]


def test_free_threads_share_what_came_when_nobody_is_asked_to_wait():
    queue = queue_of(max_batch_size=64)
    add(queue, *[1] * 40)
    assert len(sizes(queue.take(4))) == 10
    assert len(sizes(queue.take(3))) == 10
    assert len(sizes(queue.take(1))) == 20


def test_shares_are_not_too_small_and_fit_an_allowed_size():
    queue = queue_of(max_batch_size=64, allowed_batch_sizes=(16, 64))
    add(queue, *[3] * 8)
    assert sizes(queue.take(8)) == [3] * 5
    assert sizes(queue.take(8)) == [3] * 3
    queue = queue_of(max_batch_size=64)
    add(queue, *[1] * 8)
    assert len(sizes(queue.take(8))) == 8


def test_a_timeout_asks_to_wait_for_each_other():
    queue = queue_of(max_batch_size=64, batch_timeout_micros=1)
    add(queue, *[1] * 40)
    assert len(sizes(queue.take(4))) == 40


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 9)),
        st.tuples(st.just("remove"), st.integers(0, 30)),
        st.tuples(st.just("take"), st.integers(1, 3)),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=150)
@given(steps, st.booleans(), st.integers(1, 3), st.integers(0, 1))
def test_every_row_is_handed_out_once_unless_it_left(steps, splitting, batches, timeout):
    """Against plain book-keeping: rows that went in and did not leave come out, in order."""
    parameters = BatchingSettings(
        max_batch_size=8,
        max_execution_batch_size=4,
        enable_large_batch_splitting=splitting,
        max_enqueued_batches=batches,
        batch_timeout_micros=timeout,
    )
    queue = BatchQueue(parameters, ("x:0",), ("y:0",), Pace())
    limit = parameters.execution_rows
    admitted: list[Request] = []
    gone: set[Request] = set()
    refused: list[tuple[int, int]] = []
    ran: dict[Request, list[int]] = {}

    def take(threads: int) -> None:
        batch = queue.take(threads)
        assert batch.pieces
        assert batch.rows == sum(sizes(batch)) <= limit
        for piece in batch.pieces:
            ran.setdefault(piece.request, []).extend(piece.feed("x:0").tolist())

    for step, value in steps:
        if step == "add":
            request = request_of(value, 100 * len(admitted))
            try:
                queue.add(request, 0)
                admitted.append(request)
            except StatusError as error:
                refused.append((value, error.code))
        elif step == "remove" and value < len(admitted):
            gone.add(admitted[value])
            queue.remove(admitted[value])
        elif step == "take" and len(queue):
            take(value)
        waiting = sum(len(request.feeds["x:0"]) for request in admitted)
        waiting -= sum(map(len, ran.values()))
        if not gone:
            assert waiting <= limit * batches
    while len(queue):
        take(1)
    assert queue.due_ns() is None
    assert all(rows > 8 or code == Code.UNAVAILABLE for rows, code in refused)
    for request in admitted:
        rows = request.feeds["x:0"].tolist()
        if request in gone:
            assert set(ran.get(request, [])) <= set(rows)
        else:
            assert ran[request] == rows
