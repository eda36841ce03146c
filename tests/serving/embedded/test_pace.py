"""What comes too late is refused: a server that is asked for more than it can do stays useful."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtower_serving.embedded.batch_queue import BatchQueue, Request
from dualtower_serving.embedded.batching_settings import BatchingSettings
from dualtower_serving.embedded.pace import Pace
from dualtower_serving.embedded.status import Code, StatusError

MS = 1_000_000
LOOP = asyncio.new_event_loop()  # owns futures that nobody resolves


@pytest.fixture(autouse=True, scope="module")
def closed_loop():
    yield
    LOOP.close()


def pace_of(*runs_ms: float) -> Pace:
    pace = Pace()
    for run_ms in runs_ms:
        pace.ran(int(run_ms * MS))
    return pace


def steady(run_ms: float) -> Pace:
    """Of runs that all take so long."""
    return pace_of(*[run_ms] * 50)


@pytest.mark.parametrize(
    ("waited_ms", "left_ms", "late"),
    [
        (100, 21, False),  # two runs of 10 ms fit
        (100, 19, True),
        (0, 5, False),  # it has not waited: nobody else is to blame
        (5, 5, False),
        (6, 5, True),
        (100, 0, True),
        (0, 0, True),
        (0, -1, True),
    ],
)
def test_two_runs_must_fit_once_more_time_is_gone_than_left(waited_ms, left_ms, late):
    now_ns = 10**12
    found = steady(10).is_too_late(now_ns - waited_ms * MS, now_ns + left_ms * MS, now_ns)
    assert found is late


def test_where_runs_differ_more_time_must_be_left():
    """RFC 6298, section 2: the average and four times the mean deviation; after one run, half."""
    pace = pace_of(10)
    assert pace.needed_ns == 30 * MS
    for _ in range(50):
        pace.ran(10 * MS)
    assert pace.needed_ns == pytest.approx(20 * MS, abs=100), "room for a second run stays"
    deviation_ns, run_ns = 0.0, 10.0 * MS
    for run_ms in (30, 5, 40, 5, 30):
        deviation_ns += (abs(run_ms * MS - run_ns) - deviation_ns) / 4
        run_ns += (run_ms * MS - run_ns) / 5
        pace.ran(run_ms * MS)
    assert pace.needed_ns == pytest.approx(run_ns + 4 * deviation_ns, rel=1e-3)


def test_who_waits_for_ever_is_never_late():
    assert not steady(10).is_too_late(0, None, 10**15)


def test_before_the_first_run_only_the_deadline_counts():
    assert not Pace().is_too_late(0, 100 * MS + 1, 100 * MS)
    assert Pace().is_too_late(0, 100 * MS, 100 * MS)


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=50))
def test_the_pace_is_a_moving_average(runs_ns):
    pace, wanted = Pace(), float(runs_ns[0])
    for run_ns in runs_ns:
        pace.ran(run_ns)
        wanted += (run_ns - wanted) / 5
    assert pace.run_ns == pytest.approx(wanted, abs=10)


def test_one_slow_run_is_forgotten():
    pace = pace_of(10, 10, 3000, *[10] * 30)
    assert pace.run_ns < 15 * MS


class Shop:
    """A server in a simulation: one thread, and runs that take a time for each row.

    Args:
        batches: that may wait.
        sheds: whether the queue is told how long runs take, and what time it is.
        row_ms: of a run, on average.
        scatter: of the logarithm of a run's time.
    """

    ROWS, DEADLINE_MS = 32, 250

    def __init__(self, *, batches: int, sheds: bool, row_ms: float, scatter: float = 0.0) -> None:
        settings = BatchingSettings(
            max_batch_size=self.ROWS, batch_timeout_micros=1000, max_enqueued_batches=batches
        )
        self._queue = BatchQueue(settings, ("x:0",), ("y:0",), Pace())
        self._sheds = sheds
        self._row_ns = row_ms * MS
        self._scatter = scatter
        self._rng = np.random.default_rng(1)
        self._waiting: list[Request] = []
        self._now_ns = 0
        self.good = self.late = 0
        self.refused: list[int] = []

    def serve(self, arrivals_ns: list[int], until_ns: int) -> None:
        while self._now_ns < until_ns:
            while arrivals_ns and arrivals_ns[0] <= self._now_ns:
                self._add(arrivals_ns.pop(0))
            self._gone()
            if self._queue.ready(self._now_ns):
                self._run()
            else:
                self._now_ns += MS // 10

    def _add(self, at_ns: int) -> None:
        feeds = {"x:0": np.zeros(1)}
        deadline_ns = at_ns + self.DEADLINE_MS * MS
        request = Request(feeds, ("y:0",), 1, deadline_ns, asyncio.Future(loop=LOOP), at_ns)
        try:
            self._queue.add(request, at_ns)
        except StatusError as error:
            self.refused.append(error.code)
        else:
            self._waiting.append(request)

    def _gone(self) -> None:
        """As the front does for callers whose deadline has passed."""
        while self._waiting and self._waiting[0].deadline_ns <= self._now_ns:
            self._queue.remove(self._waiting.pop(0))

    def _run(self) -> None:
        batch = self._queue.take(1, self._now_ns if self._sheds else 0)
        factor = self._rng.lognormal(-(self._scatter**2) / 2, self._scatter)
        run_ns = int(self._row_ns * batch.rows * factor)
        end_ns = self._now_ns + run_ns
        good = sum(piece.request.deadline_ns > end_ns for piece in batch.pieces)
        self.good += good
        self.late += len(batch.pieces) - good
        assert not batch.too_late or self._sheds
        if self._sheds and batch.pieces:
            self._queue.pace.ran(run_ns, batch.rows)
        self._now_ns = end_ns


@pytest.mark.parametrize("share", [0.5, 1.5, 2, 5])
@pytest.mark.parametrize("batches", [10, 16, 64])
@pytest.mark.parametrize("row_ms", [0.25, 1, 4, 12.5])  # a full batch: 8, 32, 128, 400 ms
def test_goodput_holds_at_many_times_the_capacity(share, batches, row_ms):
    capacity_qps, load_s = 1000 / row_ms, min(10, 4 + row_ms)
    rng = np.random.default_rng(0)
    gaps_ns = rng.exponential(1e9 / (share * capacity_qps), int(load_s * share * capacity_qps))
    arrivals_ns = np.cumsum(gaps_ns).astype(np.int64).tolist()
    seconds = arrivals_ns[-1] / 1e9
    offered = len(arrivals_ns) / seconds / capacity_qps

    def good(*, sheds: bool) -> float:
        shop = Shop(batches=batches, sheds=sheds, row_ms=row_ms)
        shop.serve(list(arrivals_ns), arrivals_ns[-1])
        assert set(shop.refused) <= {Code.UNAVAILABLE}
        return shop.good / seconds / capacity_qps

    assert good(sheds=True) >= 0.9 * min(1, offered)
    if share >= 1.5 and batches == 64 and row_ms >= 1:
        assert good(sheds=False) < 0.5, "without a pace most is answered too late"


@pytest.mark.parametrize("share", [1.5, 2, 5])
def test_where_runs_differ_few_are_answered_too_late(share):
    """A quarter of the runs takes less than 0.63 of the average, another more than 1.24 of it."""
    capacity_qps, load_s, rng = 1000, 10, np.random.default_rng(0)
    gaps_ns = rng.exponential(1e9 / (share * capacity_qps), int(load_s * share * capacity_qps))
    arrivals_ns = np.cumsum(gaps_ns).astype(np.int64).tolist()
    shop = Shop(batches=16, sheds=True, row_ms=1, scatter=0.5)
    shop.serve(list(arrivals_ns), arrivals_ns[-1])
    answered = shop.good + shop.late
    assert shop.late <= 0.02 * answered
    assert answered >= 0.9 * capacity_qps * load_s


def queue_of(*deadlines_ms: float | None, rows: int = 1, **parameters: int) -> BatchQueue:
    """Requests that came at 0, in batches of 4 rows; runs take 10 ms."""
    settings = BatchingSettings(max_batch_size=4, batch_timeout_micros=1, **parameters)
    queue = BatchQueue(settings, ("x:0",), ("y:0",), Pace())
    queue.pace.ran(10 * MS, 4)
    for number, deadline_ms in enumerate(deadlines_ms):
        deadline_ns = None if deadline_ms is None else int(deadline_ms * MS)
        feeds = {"x:0": np.full(rows, number)}
        queue.add(Request(feeds, (), rows, deadline_ns, asyncio.Future(loop=LOOP), 0), 0)
    return queue


def numbers(requests) -> list[int]:
    return [int(one.feeds["x:0"][0]) for one in requests]


def taken(queue: BatchQueue, now_ms: float) -> tuple[list[int], list[int]]:
    batch = queue.take(1, int(now_ms * MS))
    return numbers(piece.request for piece in batch.pieces), numbers(batch.too_late)


def test_the_place_of_what_is_late_goes_to_what_comes_next():
    queue = queue_of(110, 500, 110, 500, 110, 500, None, 500, 500, 500)
    assert taken(queue, 100) == ([1, 3, 5, 6], [0, 2, 4])
    assert len(queue) == 2
    assert taken(queue, 100) == ([7], [])
    assert taken(queue, 100) == ([8, 9], [])
    assert len(queue) == 0


def test_where_all_is_late_nothing_is_left():
    queue = queue_of(*[110] * 11)
    assert taken(queue, 100) == ([], list(range(11)))
    assert (len(queue), queue.due_ns()) == (0, None)


def test_what_does_not_fit_keeps_its_place():
    queue = queue_of(110, 500, 500, 500, rows=2)
    assert taken(queue, 100) == ([1, 2], [0])
    assert taken(queue, 100) == ([3], [])


def test_of_a_split_request_the_rest_is_refused():
    queue = queue_of(110, 500, rows=3, enable_large_batch_splitting=True)
    assert taken(queue, 10) == ([0, 1], [])
    assert taken(queue, 100) == ([1], [])
    queue = queue_of(500, 110, rows=3, enable_large_batch_splitting=True)
    assert taken(queue, 10) == ([0, 1], [])
    assert taken(queue, 100) == ([], [1])


def test_no_run_takes_more_than_a_quarter_of_its_callers_time():
    queue = queue_of(*[300] * 4, *[30] * 4, None, None, None, None)
    queue.pace.row_ns = 25 * MS
    assert taken(queue, 1) == ([0, 1, 2], [])
    assert taken(queue, 1) == ([3], [])
    assert len(queue) == 2
    assert taken(queue, 1) == ([4], [])  # one runs, however short its time
    assert taken(queue, 1) == ([5], [])
    assert len(queue) == 2
    assert taken(queue, 16) == ([8, 9, 10, 11], [6, 7])
    assert len(queue) == 0
