"""The scenarios that come with the package: each can be read, and says truly what it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dualtower.bundle import Bundle
from dualtower.cli import main
from dualtower_benchmarks.drivers.opening import DRIVERS
from dualtower_benchmarks.scenario.expected import load_s
from dualtower_benchmarks.scenario.glance import glance
from dualtower_benchmarks.scenario.run import run_scenario
from dualtower_benchmarks.scenario.scenario import (
    read_scenario,
    scenario_path,
    shipped_scenarios,
)
from dualtower_benchmarks.scenario.shipped import comment_of, opening_of
from dualtower_benchmarks.scenario.subject import CPU, GPU
from dualtower_benchmarks.schema.read import read_results

WANTED = {
    "quick-look",
    "server-quick",
    "server-full",
    "edge-quick",
    "edge-full",
    "gpu-vs-cpu",
    "mlperf",
    "limit",
    "index",
    "train",
    "clients",
}


def test_they_are_there() -> None:
    assert set(shipped_scenarios()) >= WANTED
    for name in shipped_scenarios():
        assert scenario_path(name).stem == name


@pytest.mark.parametrize("name", shipped_scenarios())
def test_it_opens_with_its_command_and_what_to_expect(name: str) -> None:
    comment = comment_of(name)
    commands = [line.strip() for line in comment if line.startswith("    ")]
    assert commands[0].startswith("dualtower bench ")
    assert name in commands[0].split()
    assert f"--out {name}.json" in commands[0]
    assert any(line.startswith("Expect ") for line in comment)
    assert opening_of(name).endswith(".")
    assert len(opening_of(name)) <= 100
    assert all(len(line) <= 98 for line in comment)


@pytest.mark.parametrize("name", shipped_scenarios())
def test_it_expands(name: str) -> None:
    scenario = read_scenario(name, overrides=["sweep.measured_s=0.25"])
    assert scenario.settings.title
    assert {case.driver for case in scenario.cases} <= set(DRIVERS)
    assert all(case.measured_s == 0.25 for case in scenario.cases)
    closed = set()
    for case in scenario.cases:  # a share of a closed loop has that in front of it
        closed |= {case.subject_key} if case.loop == "closed" else set()
        assert not case.rate_share or case.subject_key in closed, case


def test_the_number_of_points_is_the_one_promised() -> None:
    for name, count in (("server-full", 81), ("gpu-vs-cpu", 64), ("edge-quick", 10)):
        assert len(read_scenario(name).cases) == count
        assert str(count) in " ".join(comment_of(name))


def test_a_glance_takes_a_part_and_its_corners() -> None:
    whole, quick = glance(), glance(quick=True)
    assert sum(case.driver == "grpc" for case in whole.cases) == 16
    assert {case.concurrency for case in quick.cases} == {1, 4}
    assert {case.concurrency for case in whole.cases} == {1, 2, 4}
    assert {case.batch_rows for case in quick.cases} == {1, 16}
    for driver in ("grpc", "saved_model", "litert"):
        assert {case.driver for case in glance(driver).cases} == {driver}
    assert sum(map(load_s, quick.cases)) < sum(map(load_s, whole.cases))
    assert max(case.measured_s for case in quick.cases) == 0.5
    changed = glance("litert", overrides=["sweep.threads=[1, 4]"])
    assert {case.threads for case in changed.cases} == {1, 4}


def test_both_devices_get_the_same_cases() -> None:
    cases = read_scenario("gpu-vs-cpu").cases
    by_device = {
        device: [
            {**case.as_json(), "device": ""} for case in cases if case.device == device
        ]
        for device in (CPU, GPU)
    }  # fmt: skip
    assert by_device[CPU] == by_device[GPU]


def test_the_command_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    main(["bench", "scenarios"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == shipped_scenarios()
    assert all(opening_of(line.split()[0]) in line for line in lines)
    main(["bench", "scenarios", "--json"])
    assert set(json.loads(capsys.readouterr().out)) == set(shipped_scenarios())


def test_a_dry_run_counts_the_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["bench", "run", "edge-quick", str(tmp_path), "--dry-run"])
    *_, last = capsys.readouterr().out.splitlines()
    *_, load_s, with_starts_s = (int(word) for word in last.split() if word.isdigit())
    assert load_s == 35
    assert load_s < with_starts_s < 120


@pytest.mark.slow
def test_edge_quick_runs(small_bundle: Bundle, tmp_path: Path) -> None:
    """The tiny bundle has float32 alone, so the rest is absent with its reason."""
    short = ["sweep.measured_s=0.2", "sweep.warmup_s=0.05", "sweep.threads=1"]
    scenario = read_scenario("edge-quick", overrides=short)
    out = tmp_path / "edge-quick.json"
    run_scenario(scenario, small_bundle.path, out=out)
    document = read_results(out).document
    assert [(row["model"], row["variant"]) for row in document["points"]] == [
        ("item_tower", "float32"), ("user_tower", "float32"),
    ]  # fmt: skip
    for row in document["points"]:
        assert row["n"] >= 6
        assert not row["errors"]
        assert row["p50_ms"] is not None
        assert row["device_found"] == CPU
        assert row["facts"]["threads"] == 1
    assert {(case["model"], case["variant"]) for case in document["absent"]} == {
        ("item_tower", "dynamic_int8"), ("user_tower", "dynamic_int8"), ("recommender", "int8"),
    }  # fmt: skip
    assert all("the bundle has no" in case["reason"] for case in document["absent"])
