"""Limits on the page: the figure's marks, the tables, the sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dualtower_benchmarks.limit.case import LimitCase
from dualtower_benchmarks.limit.find import find_limit
from dualtower_benchmarks.limit.session import summary_of
from dualtower_benchmarks.limit.table import limit_blocks
from dualtower_benchmarks.load.load import Load
from dualtower_benchmarks.load.run import LoadRun
from dualtower_benchmarks.load.samples import OK, Samples
from dualtower_benchmarks.report.scenario.findings.limits import limits
from dualtower_benchmarks.report.scenario.inputs import Inputs
from dualtower_benchmarks.report.scenario.limits import limits_table, probes_table
from dualtower_benchmarks.report.scenario.limits_figure import limit_panels
from dualtower_benchmarks.report.scenario.others import Other
from dualtower_benchmarks.scenario.blocks import blocks_text

MACHINE = {
    "cpu_model": "Some CPU", "usable_cores": 2, "gpu": "no GPU", "load_average_1_min_before": 0.1,
}  # fmt: skip


def stepped(load: Load) -> LoadRun:
    """4 ms up to 150 requests a second, 40 ms above; from 170 on the generator lags, too."""
    due = load.schedule_ns()
    rate = load.rate_qps or 0.0
    sent = due + (5_000_000 if rate > 170 else 0)
    done = sent + (4_000_000 if rate <= 150 else 40_000_000)
    return LoadRun(Samples(due, sent, done, np.full(len(due), OK)), "default")


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    case = LimitCase(
        slo_ms=20.0, low_qps=100.0, high_qps=400.0, probe_s=6.0, votes=1, resolution=0.1
    )
    rows = [
        {
            "key": case.key, "repeat": repeat, **case.as_json(), "engine": "embedded",
            **find_limit(case, stepped, seed=7 + repeat, confidence=0.95, attempts=2),
        }
        for repeat in range(2)
    ]  # fmt: skip
    return {"rows": rows, "summary": summary_of(rows), "absent": []}


def test_the_figure_has_slo_limit_and_every_probe(found: dict[str, Any]) -> None:
    (panel,) = limit_panels(found, "Some CPU", name="limit-0")
    assert "SLO 20 ms" in panel.svg
    for word in ("held", "broke", "void", "requests a second offered", "p99, ms"):
        assert f">{word}<" in panel.svg
    told = panel.svg.partition('aria-label="')[2].partition('"')[0]
    probes = [probe for row in found["rows"] for probe in row["probes"]]
    assert told.count("p99") == len(probes) + 1
    assert "(generator)" in told
    assert "Some CPU" in panel.caption


def test_the_tables_and_the_sentence_agree(found: dict[str, Any]) -> None:
    table = limits_table(found, "Some CPU")
    assert table is not None
    (cells,) = table.rows
    limit = found["summary"][0]["limit_qps"]["value"]
    assert 136 < limit <= 150
    assert cells[3].text == f"{limit:.0f}"
    assert cells[4] == "latency"
    probes = probes_table(found["rows"], "Some CPU")
    assert len(probes.rows) == sum(len(row["probes"]) for row in found["rows"])
    other = Other("limits", found, {"machine": MACHINE}, "x")
    assert f"{limit:.0f} requests a second" in limits(Inputs([], [other]))
    assert limits(Inputs([], [])) == ""
    text = blocks_text(limit_blocks(found))
    assert "p99 ≤ 20 ms, errors ≤ 0 %" in text
    assert "void and not counted: " in text


def test_what_was_not_searched_is_said(found: dict[str, Any]) -> None:
    absent = {**LimitCase().as_json(), "reason": "no GPU here"}
    nothing = {"rows": [], "summary": [], "absent": [absent]}
    table = limits_table(nothing, "Some CPU")
    assert table is not None
    assert table.notes == ["gRPC item_tower: no GPU here."]
    assert limits_table({**nothing, "absent": []}, "Some CPU") is None
    assert "absent: grpc item_tower, no GPU here" in blocks_text(limit_blocks(nothing))
