"""LoadGen and our open loop on a server whose latencies another formula than its own knows."""

from __future__ import annotations

import json

import jsonschema
import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from dualtower.cli import main
from dualtower_benchmarks.cli import bench
from dualtower_benchmarks.mlperf.agreement import PERCENTILES, Seen, agreement, difference_ms
from dualtower_benchmarks.mlperf.stalling import Stalls, departures_ns
from dualtower_benchmarks.mlperf.table import agreement_text
from dualtower_benchmarks.schema import schema_of
from dualtower_benchmarks.stats.percentiles import nearest_rank

CLOCK_NS = 10_000  # LoadGen's trace has microseconds with three digits, and a clock of its own


def waited_ns(
    due_ns: npt.NDArray[np.int64], service_ns: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Latencies of a queue without its recursion: work before, and the worst start of a busy time.

    leaves[n] = max over k <= n of (comes[k] + service[k] + … + service[n])
    """
    work = np.cumsum(service_ns)
    return work + np.maximum.accumulate(due_ns - (work - service_ns)) - due_ns


@given(st.lists(st.tuples(st.integers(0, 10**10), st.integers(1, 10**9)), min_size=1, max_size=60))
def test_the_recursion_is_the_closed_form(visits: list[tuple[int, int]]) -> None:
    comes = np.sort(np.array([one for one, _ in visits], dtype=np.int64))
    takes = np.array([two for _, two in visits], dtype=np.int64)
    assert (departures_ns(comes, takes) - comes == waited_ns(comes, takes)).all()


def test_every_so_many_requests_stall() -> None:
    stalls = Stalls(service_s=0.001, stall_s=0.1, every=3)
    assert (stalls.service_ns(7) / 1e6).tolist() == [1, 1, 101, 1, 1, 101, 1]


def held(seen: Seen, stalls: Stalls) -> npt.NDArray[np.int64]:
    """The truth of what was seen, which no request undercuts, nor exceeds by what made it late."""
    truth = waited_ns(seen.samples.due_ns, stalls.service_ns(len(seen.samples)))
    extra = seen.latency_ns - truth
    assert extra.min() >= -CLOCK_NS
    assert extra.max() <= seen.late_ms * 1e6 + CLOCK_NS
    return truth


def test_loadgen_and_our_open_loop_see_the_same_stall_and_a_closed_loop_hides_it() -> None:
    """200 requests a second of 2 ms, and 250 ms more for each 150th.

    Both count from the scheduled instant, so on the same arrivals each percentile of either lies
    between the truth and the truth plus what made it late, and the two differ by no more than that.
    """
    pytest.importorskip("mlperf_loadgen")
    stalls = Stalls(service_s=0.002, stall_s=0.25, every=150)
    found = agreement(stalls, rate_qps=200.0, duration_s=1.2, closed_s=0.6, seed=7)
    loadgen, ours = found.loadgen, found.same_arrivals
    assert len(loadgen.samples) == len(ours.samples) == found.outcome.queries > 180
    truth = held(loadgen, stalls)
    assert (held(ours, stalls) == truth).all()
    held(found.own_arrivals, stalls)
    late_ns = max(loadgen.late_ms, ours.late_ms) * 1e6
    for q in PERCENTILES.values():
        difference = nearest_rank(loadgen.latency_ns, q) - nearest_rank(ours.latency_ns, q)
        assert abs(difference) <= late_ns + CLOCK_NS

    # LoadGen's own figures are of the queries that it traced: its rank is ours or the next one
    ordered = np.sort(loadgen.latency_ns) / 1e6
    for name, q in (("p50_ms", 0.5), ("p90_ms", 0.9)):
        theirs, rank = found.outcome.percentiles_ms[name], int(len(ordered) * q)
        assert theirs is not None
        assert ordered[rank - 1] - 0.01 <= theirs <= ordered[min(rank + 1, len(ordered) - 1)] + 0.01
    assert not found.outcome.valid  # the stalls break the 50 ms that the case asks for

    # one client: as many slow answers as stalls, so its p90 knows nothing of them
    stalled_ns = int(stalls.stall_s * 1e9)
    slow = int((found.closed.latency_ns >= stalled_ns).sum())
    assert slow == len(found.closed) // stalls.every
    assert int((truth >= stalled_ns / 4).sum()) >= 20 * max(1, len(truth) // stalls.every)


@pytest.mark.slow
def test_on_arrivals_of_their_own_percentiles_agree_within_their_intervals() -> None:
    """And within what made either late, which a busy machine adds to one of the runs alone."""
    pytest.importorskip("mlperf_loadgen")
    stalls = Stalls(service_s=0.001, stall_s=0.15, every=120)
    found = agreement(stalls, rate_qps=400.0, duration_s=6.0, closed_s=1.0, seed=1)
    for seen in (found.loadgen, found.same_arrivals, found.own_arrivals):
        held(seen, stalls)
    late_ms = found.loadgen.late_ms + found.own_arrivals.late_ms
    for q in PERCENTILES.values():
        difference = difference_ms(found.loadgen, found.own_arrivals, q, seed=1, confidence=0.95)
        assert difference is not None
        _, low, high = difference
        assert low - late_ms <= 0.0 <= high + late_ms
    closed, opened = (
        nearest_rank(latency_ns, 0.9)
        for latency_ns in (found.closed.latency_ns, found.own_arrivals.latency_ns)
    )
    assert closed < opened / 4


@pytest.mark.slow
def test_the_command_says_it_in_a_table_and_as_json() -> None:
    pytest.importorskip("mlperf_loadgen")
    short = ["--rate", "300", "--seconds", "1.5", "--service-ms", "1", "--stall-ms", "100",
             "--every", "100"]  # fmt: skip
    done = CliRunner().invoke(bench, ["agreement", *short, "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    jsonschema.Draft202012Validator(schema_of("agreement")).validate(document)
    loadgen, ours, own, closed = document["generators"]
    assert loadgen["n"] == ours["n"] > 300
    assert {one["name"] for one in document["differences"]} == {ours["name"], own["name"]}
    for one in (loadgen, ours, own):
        for name, truth_ms in one["truth_ms"].items():
            if truth_ms is not None:
                above_ms = one["latency_ms"][name] - truth_ms
                assert -0.01 <= above_ms <= one["late_ms"] + 0.01
    assert closed["truth_ms"] is closed["late_ms"] is None
    # the same document as a table: every generator, and a line for each difference
    lines = agreement_text(document).splitlines()
    assert [line.partition("  ")[0] for line in lines[1:8:2]] == [
        "LoadGen, Server", "ours, its arrivals", "ours, own arrivals", "a closed loop",
    ]  # fmt: skip
    assert f"{loadgen['latency_ms']['p50']:.2f}" in lines[1]
    assert len(lines) == 8 + len(document["differences"])
    first = document["differences"][0]
    assert f"{first['percentile']} minus LoadGen's: {first['value_ms']:+.2f} ms" in lines[8]


@pytest.mark.parametrize(
    "wrong",
    [("--rate", "-5"), ("--rate", "nan"), ("--seconds", "0"), ("--service-ms", "-1"),
     ("--stall-ms", "inf"), ("--every", "0")],
    ids=" ".join,
)  # fmt: skip
def test_wrong_use_is_exit_2(wrong: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["bench", "agreement", *wrong])
    assert caught.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_too_few_requests_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["bench", "agreement", "--rate", "1", "--seconds", "5"])
    assert caught.value.code == 2
    assert "are 5 requests, too few" in capsys.readouterr().err
