"""An event before it happens: every kind takes its own fields, and refuses those of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtower.errors import ConfigError
from dualtower_benchmarks.events.case import KINDS, EventCase
from dualtower_benchmarks.events.read import events_scenario
from dualtower_benchmarks.scenario.scenario import read_scenario


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "fire"}, "kind is one of swap"),
        ({"kind": "cold_start", "swaps": 2}, "cold_start does not take swaps"),
        ({"kind": "swap", "rate_share": 0.5, "starts": 2}, "does not take starts"),
        ({"kind": "overload", "rate_qps": 9.0}, "does not take rate_qps"),
        ({"kind": "soak", "rate_share": 0.5, "deadline_ms": 9.0}, "does not take deadline_ms"),
        ({"kind": "swap"}, "one of rate_qps and rate_share"),
        ({"kind": "swap", "rate_qps": 5.0, "rate_share": 0.5}, "one of rate_qps and rate_share"),
        ({"kind": "overload", "shares": "2 1"}, "ascend"),
        ({"kind": "overload", "shares": "half"}, "numbers parted by blanks"),
        ({"kind": "overload", "shares": ""}, "shares has none"),
        ({"kind": "cold_start", "cache": "cold"}, "cache is one of"),
        ({"kind": "cold_start", "driver": "rest"}, "over grpc"),
        ({"kind": "cold_start", "starts": 0}, "starts must be at least 1"),
        ({"kind": "soak", "rate_qps": 1.0, "measured_s": 0.0}, "measured_s"),
    ],
)
def test_what_cannot_be_says_why(fields: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        EventCase(**fields)


def test_equal_events_have_equal_keys_and_others_have_not() -> None:
    one = EventCase(kind="swap", rate_share=0.5)
    assert one.key == EventCase(kind="swap", rate_share=0.5).key
    keys = {one.key, EventCase(kind="swap", rate_share=0.4).key, EventCase(kind="overload").key}
    assert len(keys) == 3
    assert one.subject_key == EventCase(kind="overload").subject_key


def test_a_table_is_swept_as_others_are(tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    path.write_text('[[event]]\nkind = "swap"\nrate_qps = [5.0, 9.0]\nbatch_rows = [1, 4]\n')
    cases = read_scenario(path, overrides=["event.swaps=2"]).parts["event"]
    assert [(case.rate_qps, case.batch_rows, case.swaps) for case in cases] == [
        (5.0, 1, 2), (5.0, 4, 2), (9.0, 1, 2), (9.0, 4, 2),
    ]  # fmt: skip
    path.write_text('[[event]]\nkind = "cold_start"\nstarts = 2\nswaps = 4\n')
    with pytest.raises(ConfigError, match="cold_start does not take swaps"):
        read_scenario(path)


@pytest.mark.parametrize("given", ['device = "CPU"', "threads = 0", 'xla = "yes"'])
def test_what_runs_in_a_process_is_no_key_of_an_event(tmp_path: Path, given: str) -> None:
    path = tmp_path / "e.toml"
    path.write_text(f'[[event]]\nkind = "cold_start"\n{given}\n')
    with pytest.raises(ConfigError, match=rf"unknown key '{given.split()[0]}' in \[\[event\]\] 1"):
        read_scenario(path)


def test_the_command_takes_the_events_that_are_named() -> None:
    everything = events_scenario([]).parts["event"]
    assert [case.kind for case in everything] == [kind for kind in KINDS if kind != "soak"]
    quick = events_scenario(["soak"], quick=True).parts["event"]
    assert [(case.kind, case.measured_s) for case in quick] == [("soak", 30.0)]
    changed = [("event", "swaps", 1), ("event", "rate_qps", 20.0)]
    (swap,) = events_scenario(["swap"], quick=True, changed=changed).parts["event"]
    assert (swap.swaps, swap.rate_qps, swap.rate_share) == (1, 20.0, 0.0)
    with pytest.raises(ConfigError, match="no event here takes 'deadline_ms'"):
        events_scenario(["swap"], changed=[("event", "deadline_ms", 5.0)])
    assert sum(case.load_s for case in events_scenario([], quick=True).parts["event"]) < 120
    assert 240 < sum(case.load_s for case in everything) < 300


def test_a_swap_scenario_and_a_soak_are_shipped() -> None:
    (soak,) = read_scenario("soak").parts["event"]
    assert (soak.kind, soak.measured_s) == ("soak", 1800.0)
    assert {case.kind for case in read_scenario("swap").parts["event"]} == {"swap"}
