"""A search on a real server: the command, what it writes, and going on after a kill."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from dualtower.bundle import Bundle
from dualtower.cli import main
from dualtower.errors import ConfigError
from dualtower_benchmarks.limit import session
from dualtower_benchmarks.limit.case import LimitCase
from dualtower_benchmarks.limit.session import summary_of
from dualtower_benchmarks.load.raw_store import read_raw
from dualtower_benchmarks.scenario.run import run_scenario
from dualtower_benchmarks.scenario.scenario import Scenario, read_scenario
from dualtower_benchmarks.schema import results_schema

SMALL = """
[scenario]
title = "Small"

[[limit]]
driver = "grpc"
engine = "embedded"
slo_ms = 200.0
slo_percentile = 0.5
probe_s = 0.4
warmup_s = 0.1
low_qps = 50.0
high_qps = [100.0, 120.0]
votes = 1
"""


def small(folder: Path) -> Scenario:
    (folder / "small.toml").write_text(SMALL)
    return read_scenario(folder / "small.toml")


def test_the_schema_knows_the_fields_of_the_case() -> None:
    found = results_schema()["$defs"]["limit_fields"]
    fields = {field.name for field in dataclasses.fields(LimitCase)}
    assert set(found["properties"]) == set(found["required"]) == fields


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("limit.votes=2", "votes must be odd"),
        ("limit.slo_percentile=99", "slo_percentile must be between 0 and 1"),
        ("limit.max_error_share=1", r"max_error_share must be in \[0, 1\)"),
        ("limit.low_qps=200.0", "low_qps is 200.0, above high_qps"),
        ("limit.arrivals=trace", "arrivals is poisson or constant"),
        ("limit.slo_mss=3", "slo_ms"),
    ],
)
def test_what_cannot_be_is_refused(setting: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL)
    with pytest.raises(ConfigError, match=said):
        read_scenario(tmp_path / "small.toml", overrides=[setting])


def test_the_plan_is_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    main(["bench", "limit", str(tmp_path), "--slo-ms", "20", "--quick", "--dry-run"])
    assert "limit: grpc item_tower, batch 1, p99 within 20 ms" in capsys.readouterr().out


@pytest.mark.slow
def test_a_killed_search_goes_on_with_its_next_probe(
    small_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "r.json"
    found, told = session.find_limit, []

    def killed(case, measure, *, kept, note, **rest):
        def say(probe) -> None:
            told.append(probe["offered_qps"])
            if len(told) == 2:
                raise KeyboardInterrupt
            note(probe)

        return found(case, measure, kept=kept, note=say, **rest)

    monkeypatch.setattr(session, "find_limit", killed)
    with pytest.raises(KeyboardInterrupt):
        run_scenario(small(tmp_path), small_bundle.path, out=out)
    kept = sorted(path.stem for path in (tmp_path / "r.json.partial").glob("0-*.json"))
    assert len(kept) == 2  # a probe each; the closed loop is not needed
    document = run_scenario(small(tmp_path), small_bundle.path, out=out)
    rows = document["limits"]["rows"]
    measured = [probe["offered_qps"] for row in rows for probe in row["probes"]]
    assert len(told) == len(measured)  # none was measured twice
    assert not (tmp_path / "r.json.partial").exists()

    validator = jsonschema.Draft202012Validator(results_schema())
    assert [error.message for error in validator.iter_errors(json.loads(out.read_text()))] == []
    assert [row["high_qps"] for row in rows] == [100.0, 120.0]
    raw = read_raw(tmp_path / document["limits"]["raw_file"])
    probes = [probe for row in rows for probe in row["probes"]]
    assert [probe["point"] for probe in probes] == list(range(len(probes)))
    for probe in probes:
        samples = raw[probe["point"]].measured
        assert len(samples.latency_ns) == probe["n"]
        if probe["p50_ms"]:
            ordered = np.sort(samples.latency_ns)
            assert probe["p50_ms"]["value"] == ordered[-(-len(ordered) // 2) - 1] / 1e6
    text = "\n".join(map(str, document["limits"]["summary"]))
    assert text.count("'repeats': 1") == 2


def test_repeats_become_a_spread() -> None:
    rows = [
        {"key": "a", "limit_qps": limit, "broke_qps": limit * 1.1, "void_qps": None, "probes": []}
        for limit in (120.0, 90.0, 100.0)
    ]
    (one,) = summary_of(rows)
    assert one["limit_qps"] == {"value": 100.0, "low": 90.0, "high": 120.0}
    (alone,) = summary_of(rows[:1])
    assert alone["limit_qps"] == {"value": 120.0, "low": 120.0, "high": 132.0}
    assert summary_of([*rows, {**rows[0], "limit_qps": None}])[0]["limit_qps"] is None
