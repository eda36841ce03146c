"""`dualtower bench mlperf` on a real bundle: LiteRT at once, a server if slow."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from dualtower.bundle import Bundle
from dualtower.errors import ConfigError
from dualtower.progress import bar
from dualtower_benchmarks.cli import bench
from dualtower_benchmarks.devices.here import Devices
from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.mlperf.logs import DETAIL, SUMMARY
from dualtower_benchmarks.mlperf.session import MlperfSession
from dualtower_benchmarks.pace.log import PaceLog
from dualtower_benchmarks.scenario.part import Place
from dualtower_benchmarks.scenario.run import run_scenario
from dualtower_benchmarks.scenario.scenario import Scenario, read_scenario, shipped_scenarios
from dualtower_benchmarks.scenario.store import PointStore
from dualtower_benchmarks.schema.layout import results_schema


def run(bundle: Bundle, out: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    command = ["mlperf", str(bundle.path), "--quick", "--out", str(out), *arguments]
    done = CliRunner().invoke(bench, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    document = json.loads(out.read_text())
    jsonschema.Draft202012Validator(results_schema()).validate(document)
    return document, done.stdout


def held(document: dict[str, Any], out: Path) -> None:
    """Each row stands on the files that LoadGen left beside the results."""
    for row in document["mlperf"]["rows"]:
        folder = out.parent / row["log_folder"]
        verdict = "VALID" if row["valid"] else "INVALID"
        assert f"Result is : {verdict}\n" in (folder / SUMMARY).read_text()
        assert (folder / DETAIL).stat().st_size
        assert (row["result"] is None) == bool(row["reasons"]) == (not row["valid"])


def test_litert_in_two_scenarios(small_bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("mlperf_loadgen")
    out = tmp_path / "m.json"
    document, text = run(
        small_bundle, out, "--driver", "litert", "--scenario", "SingleStream",
        "--scenario", "Server", "--qps", "100", "--min-duration-s", "0.5", "--min-queries", "64",
    )  # fmt: skip
    rows = document["mlperf"]["rows"]
    assert [row["scenario"] for row in rows] == ["SingleStream", "Server"]
    assert document["points"] == []
    held(document, out)
    assert rows[1]["offered_qps"] == 100.0
    assert rows[1]["facts"]["litert_version"]
    assert "no MLPerf submission" in text
    # 50 queries cannot show a p99: LoadGen's early stopping forbids the verdict
    assert "INVALID: Server litert item_tower float32, early stopping" in text


@pytest.mark.slow
def test_all_scenarios_and_accuracy_on_a_server(small_bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("mlperf_loadgen")
    out = tmp_path / "m.json"
    document, _ = run(small_bundle, out, "--driver", "grpc", "--accuracy", "--min-queries", "64")
    rows = document["mlperf"]["rows"]
    assert len({(row["driver"], row["scenario"]) for row in rows}) == len(rows) == 4
    held(document, out)
    assert document["servers"][0]["started_for_this_run"]
    assert all(row["failed"] == {} for row in rows)
    accuracy = document["mlperf"]["accuracy"]
    assert [row["driver"] for row in accuracy] == ["grpc"]
    assert all(row["valid"] and row["cosine_min"] > 0.999999 for row in accuracy)
    offline = [row for row in rows if row["scenario"] == "Offline"]
    assert all(row["queries"] == 1 and row["samples_a_query"] > 100 for row in offline)


def test_without_loadgen_nothing_is_measured(
    small_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    out = tmp_path / "m.json"
    with pytest.raises(NotHere, match="pip install"):
        run_scenario(read_scenario("mlperf"), small_bundle.path, out=out)
    assert list(tmp_path.iterdir()) == []


def test_beside_a_sweep_loadgen_may_be_absent(
    small_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    path = tmp_path / "both.toml"
    path.write_text(
        '[[sweep]]\ndriver = "litert"\nvariant = "float32"\nloop = "closed"\n'
        "measured_s = 0.2\nwarmup_s = 0.1\n"
        '[[mlperf]]\ndriver = "litert"\nvariant = "float32"\nscenario = ["Server", "Offline"]\n'
    )
    document = run_scenario(read_scenario(path), small_bundle.path, out=tmp_path / "b.json")
    jsonschema.Draft202012Validator(results_schema()).validate(document)
    assert len(document["points"]) == 1
    assert document["mlperf"]["rows"] == []
    assert [
        "LoadGen is not installed" in one["reason"] for one in document["mlperf"]["absent"]
    ] == [
        True,
        True,
    ]


def test_the_shipped_scenario_has_all_four_on_three_drivers() -> None:
    assert "mlperf" in shipped_scenarios()
    found = read_scenario("mlperf", overrides=["mlperf.min_duration_s=2"])
    assert len(found.parts["mlperf"]) == 12
    assert {case.min_duration_s for case in found.parts["mlperf"]} == {2.0}
    assert found.expected_s == 24.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[mlperf]\n", r"sweeps are written as \[\[mlperf\]\]"),
        ("[[mlperf]]\nscenarios = 1\n", "scenario"),
        ('[[mlperf]]\nscenario = "Interactive"\n', "scenario is one of"),
        ("[[mlperf]]\nscenario = []\n", "empty list"),
        ("[scenario]\n", "nothing to measure"),
    ],
)
def test_tables_that_cannot_be(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_scenario(path)


def test_what_was_run_before_a_kill_is_not_run_again(small_bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("mlperf_loadgen")
    found = read_scenario("mlperf")
    out = tmp_path / "m.json"
    store = PointStore(out, store_run(found))
    for case in found.parts["mlperf"]:
        store.write(0, case.key, [{"scenario": case.scenario, "driver": case.driver}], [])
    cases = found.parts["mlperf"]
    again = PointStore(out, store_run(found))
    devices = Devices.of_this_machine(found.settings.price_per_hour)
    session = MlperfSession(
        cases, Place(found.settings, small_bundle, again, PaceLog(again), out, devices, None, None)
    )
    with bar("mlperf", len(cases)) as progress:
        session.repeat(0, progress)
    assert [(row["scenario"], row["driver"]) for row in session.rows] == [
        (case.scenario, case.driver) for case in found.parts["mlperf"]
    ]
    assert session.servers == []
    assert session.document() == {"rows": session.rows, "absent": []}


def store_run(found: Scenario) -> dict[str, Any]:
    return {"scenario": found.as_json()}
