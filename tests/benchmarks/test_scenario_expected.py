"""How long a run takes: sums done by hand, and the runs that were kept."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from dualtower_benchmarks.events.case import EventCase
from dualtower_benchmarks.index.case import IndexCase
from dualtower_benchmarks.index.expected import build_s, preparation_s
from dualtower_benchmarks.scenario.expected import expected_s
from dualtower_benchmarks.scenario.scenario import Scenario, read_scenario
from dualtower_benchmarks.scenario.settings import ScenarioSettings

KEPT = Path(__file__).parents[2] / "benchmarks" / "results"
START_S = 13.0


def of_events(*cases: EventCase, repeats: int = 1) -> Scenario:
    return Scenario("x", ScenarioSettings(repeats=repeats), (), {"event": cases})


def kept(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(gzip.decompress((KEPT / name).read_bytes()))
    return document


@pytest.mark.parametrize(
    ("case", "seconds"),
    [
        # a server, the closed loop, the open loop with its warm-up
        (EventCase(rate_share=0.3, measured_s=70.0), START_S + 4 + 72),
        (EventCase(rate_qps=20.0, measured_s=70.0), START_S + 72),
        (EventCase(kind="cold_start", starts=3), 3 * START_S),
        (EventCase(kind="first_request", rounds=2), 4 * START_S),
        # two servers, and the load goes on for twice a start
        (
            EventCase(kind="replica_lost", rate_share=0.3, measured_s=20.0),
            2 * START_S + 4 + 22 + 2 * START_S,
        ),
        (EventCase(kind="overload", measured_s=8.0, recovery_s=8.0), START_S + 4 + 4 * 10 + 8),
        (EventCase(kind="soak", rate_share=0.5, measured_s=1800.0), START_S + 4 + 1802),
    ],
    ids=lambda value: value.kind if isinstance(value, EventCase) else "",
)
def test_an_event_takes_its_load_and_its_own_servers(case: EventCase, seconds: float) -> None:
    assert expected_s(of_events(case)) == pytest.approx(seconds)
    assert expected_s(of_events(case, repeats=3)) == pytest.approx(3 * seconds)
    assert expected_s(of_events(case, case)) == pytest.approx(2 * seconds)


def test_the_kept_events_took_about_as_long() -> None:
    """Void attempts are repeated, which nothing can know beforehand; here they are counted."""
    document = kept("events.json.gz")
    rows = document["events"]["rows"]
    names = EventCase(kind="cold_start").as_json()
    attempts = [EventCase(**{name: row[name] for name in names}) for row in rows]
    assert expected_s(of_events(*attempts)) == pytest.approx(document["wall_s"], rel=0.25)


def test_the_kept_search_took_about_as_long() -> None:
    """It was resumed at 10⁷ items, two of them built; its wall time is of what followed."""
    document = kept("index.json.gz")
    names = IndexCase.__dataclass_fields__
    rows = [row for row in document["index"]["rows"] if row["items"] == 10_000_000]
    cases = [IndexCase(**{name: row[name] for name in names}) for row in rows]
    done = ("recommender_float32", "recommender_float16")
    before_s = sum(row["build_s"] for row in rows if row["engine"] in done)
    assert document["machine"]["usable_cores"] == 2
    turns_s = sum(case.load_s for case in cases)
    found_s = turns_s + preparation_s(cases, cores=2)
    assert found_s == pytest.approx(document["wall_s"] + before_s, rel=0.25)


def test_shipped_scenarios_of_events() -> None:
    for name, seconds in (
        ("swap", 2 * (START_S + 4 + 112)),
        ("soak", START_S + 4 + 1860),
        ("events", 89 + 39 + 52 + 78 + 65),
    ):
        assert expected_s(read_scenario(name)) == pytest.approx(seconds), name


def index_case(engine: str, items: int, **fields: Any) -> IndexCase:
    return IndexCase(engine=engine, items=items, **fields)


def test_a_build_by_items_numbers_and_cores() -> None:
    assert build_s(index_case("faiss_flat", 100_000), cores=2) == pytest.approx(0.02)
    assert build_s(index_case("faiss_flat", 400_000, dim=32), cores=1) == pytest.approx(0.08)
    lists = index_case("recommender_ivf", 400_000, effort=4)
    assert build_s(lists, cores=4) == pytest.approx(2.0 * 4**1.5 / 2)
    graph = index_case("usearch_hnsw", 1_000_000, effort=100)
    assert build_s(graph, cores=2) == pytest.approx(4.6 * 10**1.2)


def test_a_catalogue_a_build_and_a_process_count_once() -> None:
    one = index_case("faiss_flat", 200_000, dim=32)
    # a catalogue of half the size of 10⁵ × 64 twice over, a build, a process for it and to search
    alone = 1.0 + 0.02 * 2 / 2 * 2 / 4 + 0.5 + 0.5
    assert preparation_s([one], cores=4) == pytest.approx(alone)
    more = [one, index_case("faiss_flat", 200_000, dim=32, batch=32)]
    assert preparation_s(more, cores=4) == pytest.approx(alone)
    assert preparation_s([], cores=4) == 0


def test_a_build_that_is_refused_takes_no_time() -> None:
    def cases(*items: int) -> list[IndexCase]:
        return [index_case("usearch_hnsw", n, effort=100, max_build_s=100.0) for n in items]

    small = preparation_s(cases(100_000), cores=2)
    assert small == pytest.approx(1.0 + 4.6 + 0.5 + 0.5)
    middle = preparation_s(cases(100_000, 1_000_000), cores=2)
    assert middle == pytest.approx(small + 10.0 + 4.6 * 10**1.2 + 1.0)
    # by the line through the two, 10⁷ would take more than max_build_s: only its items are drawn
    large = preparation_s(cases(100_000, 1_000_000, 10_000_000), cores=2)
    assert large == pytest.approx(middle + 100.0)
    # alone it is begun, and ended at max_build_s; nothing is searched
    assert preparation_s(cases(10_000_000), cores=2) == pytest.approx(100.0 + 0.5 + 100.0)
