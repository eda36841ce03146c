"""Events in a run: what is kept, what is absent, what stands in the schema and on the page."""

from __future__ import annotations

import copy
import html
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from doctored import overload, rows, write_results

from dualtower.bundle import Bundle
from dualtower.progress import bar
from dualtower_benchmarks.devices.here import Devices
from dualtower_benchmarks.events.case import KINDS, EventCase
from dualtower_benchmarks.events.figures import event_figures
from dualtower_benchmarks.events.memory import MemoryCurve
from dualtower_benchmarks.events.read import events_scenario
from dualtower_benchmarks.events.session import EventsSession
from dualtower_benchmarks.events.table import event_blocks
from dualtower_benchmarks.load.raw_store import read_raw
from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.pace.log import PaceLog
from dualtower_benchmarks.report import write_report
from dualtower_benchmarks.report.scenario.findings import findings_of
from dualtower_benchmarks.report.scenario.inputs import read_inputs
from dualtower_benchmarks.scenario.blocks import blocks_text
from dualtower_benchmarks.scenario.part import Place
from dualtower_benchmarks.scenario.run import run_scenario
from dualtower_benchmarks.scenario.settings import ScenarioSettings
from dualtower_benchmarks.scenario.store import PointStore
from dualtower_benchmarks.schema.layout import results_schema, schema_of
from dualtower_benchmarks.schema.read import read_results

LEAKING = """
import time
kept = []
print("ready", flush=True)
while True:
    kept.append(bytearray(400_000))
    time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def found() -> list[dict[str, Any]]:
    return rows()


def place_of(bundle: Bundle, out: Path, *, address: str | None = None) -> Place:
    store = PointStore(out, {"scenario": "events"})
    devices = Devices.of_this_machine()
    return Place(ScenarioSettings(), bundle, store, PaceLog(store), out, devices, address, None)


def problems(document: dict[str, Any]) -> list[str]:
    validator = jsonschema.Draft202012Validator(results_schema())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def test_every_kind_is_in_the_schema(found: list[dict[str, Any]], tmp_path: Path) -> None:
    path = write_results(tmp_path / "e.json", found)
    document = json.loads(path.read_text())
    assert problems(document) == []
    assert read_results(path).points == []
    fields = set(EventCase(kind="cold_start").as_json())
    assert set(results_schema()["$defs"]["event_fields"]["required"]) == fields
    for edit in (
        lambda row: row.update(surprise=1),
        lambda row: row.pop("raw_points"),
        lambda row: row.update(void=""),
        lambda row: row[row["kind"]].update(surprise=1),
        lambda row: row.update(kind="swap" if row["kind"] != "swap" else "soak"),
    ):
        for number in range(len(found)):
            doctored = copy.deepcopy(document)
            edit(doctored["events"]["rows"][number])
            assert problems(doctored), (found[number]["kind"], edit)


def test_the_page_has_a_figure_of_each(found: list[dict[str, Any]], tmp_path: Path) -> None:
    path = write_results(tmp_path / "e.json", found)
    write_report([path], out=tmp_path / "r.html")
    page = html.unescape((tmp_path / "r.html").read_text(encoding="utf-8"))
    section = page[page.index('id="events"') :]
    section = section[: section.index("</section>")]
    assert section.count("<figure") == 7  # of a soak two
    for said in (
        "1 → 2",
        "Failed or skipped: 1",
        "Goodput collapses",
        "Memory grows",
        "without warm-up file",
        "no second machine",
        "Some CPU",
        "ServerUnreachable 3",
    ):
        assert said in section, said


def test_the_sentences_are_of_the_rows(found: list[dict[str, Any]], tmp_path: Path) -> None:
    inputs = read_inputs([write_results(tmp_path / "e.json", found)])
    sentences = findings_of(inputs)
    assert len(sentences) == 5
    assert sentences[0].replace("\u00a0", " ") == (
        "1 change of version of item_tower, batch 1 at 100 requests a second: slowest request "
        "5.00 ms (n = 800) before, 20.0 ms (n = 399) during, 5.00 ms (n = 1,600) after; failed: "
        "UNAVAILABLE 1."
    )
    assert "goodput collapses" in sentences[1]
    assert "failed ServerUnreachable 3" in sentences[2]
    assert "180 ms without" in sentences[3]
    void = [{**row, "void": "the load ended"} for row in found]
    others = findings_of(read_inputs([write_results(tmp_path / "v.json", void)]))
    assert not any("change of version" in text or "goodput" in text for text in others)


def test_every_kind_has_figures_with_a_direction(found: list[dict[str, Any]]) -> None:
    rows = {row.row["kind"]: row for row in event_figures({"rows": found})}
    assert set(rows) == set(KINDS)
    units = schema_of("compare")["$defs"]["figure"]["properties"]["unit"]["enum"]
    for row in rows.values():
        assert row.figures
        assert {one.unit for one in row.figures} <= set(units)
        for one in row.figures:
            gains = any(word in one.name for word in ("goodput", "capacity"))
            assert one.better == ("higher" if gains else "lower"), one.name
    overload = {one.name: one for one in rows["overload"].figures}
    assert overload["until_good_s"].value == 6.0, "never within the 6 s of the recovery"
    soak = {one.name: one for one in rows["soak"].figures}
    assert (soak["memory_growth"].least, soak["memory_growth"].unit) == (16.0, "MB")
    swap = {one.name: one for one in rows["swap"].figures}
    assert swap["during_failed_share"].value == 1 / 400


def test_the_terminal_says_the_same(found: list[dict[str, Any]]) -> None:
    absent = [{**EventCase(kind="cold_start").as_json(), "reason": "no server here"}]
    text = blocks_text(event_blocks({"rows": found, "absent": absent}))
    for said in (
        "UNAVAILABLE 1",
        "goodput collapses",
        "memory grows",
        "without warm-up file",
        "ServerUnreachable 3",
        "absent: cold start, no server here",
    ):
        assert said in text, said
    void = [{**found[0], "void": "the load ended"}]
    assert "void: the load ended" in blocks_text(event_blocks({"rows": void, "absent": []}))


def test_what_was_measured_before_a_kill_is_not_measured_again(
    small_bundle: Bundle, found: list[dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "e.json"
    place = place_of(small_bundle, out)
    row = {k: v for k, v in next(r for r in found if "overload" in r).items() if k != "raw_points"}
    _, loads = overload(drops=True)
    case = EventCase(kind="overload")
    empty = [{} for _ in loads]
    place.store.write(0, case.key, [row, *empty, row, *empty], [Samples.none(), *loads] * 2)
    session = EventsSession([case], place)
    with bar("", 1) as progress:
        session.repeat(0, progress)
    kept = session.document()
    assert [one["raw_points"] for one in kept["rows"]] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    raw = read_raw(tmp_path / kept["raw_file"])
    assert {number: len(one) for number, one in raw.items()} == {
        number: len(loads[number % 4]) for number in range(8)
    }
    assert session.servers == []


@pytest.mark.parametrize("kind", ["swap", "cold_start", "first_request", "replica_lost", "soak"])
def test_a_server_at_an_address_cannot_be_killed(
    small_bundle: Bundle, tmp_path: Path, kind: str
) -> None:
    rated = {"rate_qps": 5.0} if kind in ("swap", "replica_lost", "soak") else {}
    place = place_of(small_bundle, tmp_path / "e.json", address="localhost:1")
    session = EventsSession([EventCase(kind=kind, **rated)], place)
    with bar("", 1) as progress:
        session.repeat(0, progress)
        session.repeat(1, progress)
    (absent,) = session.document()["absent"]
    assert "--address names one that runs already" in absent["reason"]
    assert session.rows == []


def test_a_bundle_without_warm_up_files_has_no_first_requests(
    small_bundle: Bundle, tmp_path: Path
) -> None:
    place = place_of(small_bundle, tmp_path / "e.json")
    session = EventsSession([EventCase(kind="first_request")], place)
    with bar("", 1) as progress:
        session.repeat(0, progress)
    assert "no model of the bundle has a warm-up file" in session.document()["absent"][0]["reason"]


def test_the_curve_of_a_process_that_leaks_rises() -> None:
    leaking = subprocess.Popen([sys.executable, "-c", LEAKING], stdout=subprocess.PIPE)
    try:
        assert leaking.stdout is not None
        leaking.stdout.readline()
        with MemoryCurve(leaking.pid, interval_s=0.05) as curve:
            deadline_s = time.monotonic() + 20
            while len(curve.columns["t_s"]) < 20 and time.monotonic() < deadline_s:
                time.sleep(0.05)
    finally:
        leaking.kill()
        leaking.communicate()
    rss = curve.columns["rss_mb"]
    assert rss[-1] > rss[0] + 2
    assert set(curve.columns["threads"]) == {1}
    assert curve.ended is None


def test_the_curve_of_a_process_that_ends_says_so() -> None:
    short = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with MemoryCurve(short.pid, interval_s=0.02) as curve:
        short.communicate(b"\n")
        deadline_s = time.monotonic() + 20
        while curve.ended is None and time.monotonic() < deadline_s:
            time.sleep(0.02)
    assert curve.ended == "the server's process ended"


@pytest.mark.slow
def test_a_swap_of_a_real_server(small_bundle: Bundle, tmp_path: Path) -> None:
    changed = [
        ("event", key, value)
        for key, value in (("engine", "embedded"), ("rate_qps", 40.0), ("measured_s", 12.0),
                           ("slo_p99_ms", 5_000.0), ("swaps", 2))
    ]  # fmt: skip
    scenario = events_scenario(["swap"], quick=True, changed=changed)
    out = tmp_path / "swap.json"
    document = run_scenario(scenario, small_bundle.path, out=out)
    assert problems(json.loads(out.read_text())) == []
    (row,) = document["events"]["rows"]
    assert row["void"] is None
    found = row["swap"]
    assert found["whole"]["failed"] == {}
    assert [(one["from"], one["to"], one["is_back"]) for one in found["changes"]] == [
        (1, 2, False), (2, 1, True),
    ]  # fmt: skip
    assert set(found["answers"]) == {"1", "2"}
    for one in found["changes"]:
        assert one["until_noticed_s"] <= one["until_first_new_s"] <= one["until_ended_s"] + 1
    (number,) = row["raw_points"]
    raw = read_raw(tmp_path / document["events"]["raw_file"])[number]
    assert sum(found["answers"].values()) == len(raw) - found["whole"]["skipped"]
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.slow
def test_a_start_and_a_soak_of_a_real_server(small_bundle: Bundle, tmp_path: Path) -> None:
    changed = [
        ("event", key, value)
        for key, value in (("engine", "embedded"), ("rate_qps", 40.0), ("measured_s", 10.0),
                           ("slo_p99_ms", 5_000.0))
    ]  # fmt: skip
    scenario = events_scenario(["cold_start", "soak"], quick=True, changed=changed)
    out = tmp_path / "s.json"
    document = run_scenario(scenario, small_bundle.path, out=out)
    assert problems(json.loads(out.read_text())) == []
    start, soak = (row[row["kind"]] for row in document["events"]["rows"])
    (one,) = start["starts"]
    assert 0 < one["process_s"] < one["port_s"] <= one["available_s"] < one["answer_s"]
    assert start["median"] == pytest.approx(one)
    assert soak["whole"]["failed"] == {}
    assert soak["whole"]["n"] > 200
    memory = soak["memory"]
    assert min(memory["rss_mb"]) > 100  # it has TensorFlow in it
    assert min(memory["threads"]) > 1
    assert not soak["memory_growth"]["grows"]
    assert len({len(memory[name]) for name in ("t_s", "rss_mb", "threads", "descriptors")}) == 1
