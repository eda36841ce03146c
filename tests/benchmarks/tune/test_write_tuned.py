"""The new bundle: whole, of the same space, and served as it was picked."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from dualtower.bundle import Bundle
from dualtower.bundle_verify import verify
from dualtower.errors import BundleError, UsageError
from dualtower_benchmarks.limit.case import LimitCase
from dualtower_benchmarks.report import write_report
from dualtower_benchmarks.report.scenario.limits import tune_table
from dualtower_benchmarks.tune.candidates import OFF, PRESENT, Candidate, candidates_of
from dualtower_benchmarks.tune.rounds import QUICK, ROUNDS, Round
from dualtower_benchmarks.tune.tune import Plan, plan_of, tune, work_of
from dualtower_benchmarks.tune.write import EVIDENCE, flags_text, write_tuned
from dualtower_serving import engines, start
from dualtower_serving.bundle_flags import OwnFlags

THREADS = ("--tensorflow_intra_op_parallelism=2",)
STANDARD = (
    "--model_config_file=/models/models.config\n--enable_batching\n"
    "--batching_parameters_file=/models/batching.config\n--tensorflow_intra_op_parallelism=1\n"
)


def test_the_picked_flags_take_the_place_of_the_old_ones() -> None:
    off = flags_text(STANDARD, Candidate("off", OFF, THREADS)).splitlines()
    assert off == ["--model_config_file=/models/models.config", *THREADS]
    on = flags_text("\n".join(off), Candidate("on", "max_batch_size { value: 4 }\n")).splitlines()
    assert "--enable_batching" in on
    assert "--batching_parameters_file=/models/batching.config" in on
    assert flags_text(STANDARD, Candidate("same")) == STANDARD


def test_the_space_stays_and_every_byte_is_watched(small_bundle: Bundle, tmp_path: Path) -> None:
    text = "max_batch_size { value: 8 }\nbatch_timeout_micros { value: 500 }\n"
    evidence = {"picked": "smaller"}
    picked = Candidate("smaller", text, THREADS)
    tuned = write_tuned(small_bundle, tmp_path / "t", picked, evidence)
    assert verify(tuned.path) == []
    assert (tuned.fingerprint, tuned.version) == (small_bundle.fingerprint, small_bundle.version)
    assert (tuned.serving_path / "batching.config").read_text() == text
    assert json.loads((tuned.serving_path / EVIDENCE).read_text()) == evidence
    old = small_bundle.manifest["files"]
    changed = {name for name, facts in tuned.manifest["files"].items() if facts != old.get(name)}
    assert changed == {"serving/batching.config", "serving/server.flags", f"serving/{EVIDENCE}"}
    plan = engines.plan("embedded", tuned, port=8500, models_config=Path("/m"))
    assert THREADS[0] in plan.command
    assert plan.batching
    with pytest.raises(UsageError, match="exists already"):
        write_tuned(small_bundle, tmp_path / "t", picked, evidence)


def test_a_bundle_that_is_not_whole_is_not_sealed(small_bundle: Bundle, tmp_path: Path) -> None:
    shutil.copytree(small_bundle.path, tmp_path / "b")
    (tmp_path / "b" / "serving" / "batching.config").write_text("max_batch_size { value: 3 }\n")
    with pytest.raises(BundleError, match="is not whole"):
        write_tuned(Bundle.open(tmp_path / "b"), tmp_path / "t", Candidate("x", OFF), {})
    assert not (tmp_path / "t").exists()


def test_a_budget_leaves_out_the_least_promising(small_bundle: Bundle, tmp_path: Path) -> None:
    case = LimitCase(model="recommender", slo_ms=20.0)

    def plan(budget_s: float | None = None) -> Plan:
        return plan_of(small_bundle, case, QUICK, tmp_path / "t", cores=2, budget_s=budget_s)

    whole = plan()
    assert not whole.left_out
    part = plan(whole.expected_s * 0.7)
    assert 2 <= len(part.candidates) < len(whole.candidates)
    assert [*part.candidates, *part.left_out] == list(whole.candidates)
    assert part.expected_s <= whole.expected_s * 0.7
    assert plan(1.0).candidates[0].name == PRESENT
    assert plan_of(small_bundle, case, ROUNDS, tmp_path, cores=2).expected_s > whole.expected_s


def test_the_page_shows_what_was_tried() -> None:
    def one(name: str, place: int, last: int, limits: list[float]) -> dict[str, object]:
        return {
            "name": name, "present": name == PRESENT, "place": place, "round": last,
            "limits_qps": limits,
        }  # fmt: skip

    tried = [
        one(PRESENT, 0, 1, [10.0, 11.0]), one("a", 1, 0, [9.0]), one("b", 2, 1, [15.0, 16.0]),
    ]  # fmt: skip
    found = {
        "slo": LimitCase().as_json(), "picked": "b", "verdict": "b is better.", "candidates": tried,
    }  # fmt: skip
    table = tune_table(found, "Some CPU")
    assert [row[0] for row in table.rows] == ["present", "b", "a"]
    assert table.marked == {1}
    assert table.notes == ["b is better."]


@pytest.mark.slow
def test_a_server_starts_with_what_was_picked(small_bundle: Bundle, tmp_path: Path) -> None:
    own = OwnFlags((), batching=True)
    found = {one.name: one for one in candidates_of(small_bundle, own, cores=2, slo_ms=20.0)}
    split = Candidate("x", found["at most 8 rows a run"].batching, THREADS)
    tuned = write_tuned(small_bundle, tmp_path / "t", split, {})
    with start(tuned, engine="embedded") as server:
        assert THREADS[0] in server.command
        assert f"--batching_parameters_file={tuned.serving_path}/batching.config" in server.command


@pytest.mark.slow
def test_a_server_that_waits_for_batches_is_tuned(small_bundle: Bundle, tmp_path: Path) -> None:
    """A median of 0.6 s cannot hold where a batch waits for 1.5 s; without the wait it holds."""
    waits = "max_batch_size { value: 1000 }\nbatch_timeout_micros { value: 1500000 }\n"
    bundle = write_tuned(small_bundle, tmp_path / "waits", Candidate("waits", waits), {})
    case = LimitCase(
        model="item_tower", engine="embedded", slo_ms=600.0, slo_percentile=0.5,
        low_qps=50.0, high_qps=50.0,
    )  # fmt: skip
    rounds = (Round(2, 0.5, 1.0, repeats=3),)
    out = tmp_path / "tuned"
    plan = plan_of(bundle, case, rounds, out, cores=2, budget_s=1.0)
    evidence = tune(bundle, case, plan, rounds, out, command="a test")
    assert (evidence["picked"], evidence["changed"]) == ("batch_timeout_micros 0", True)
    present, picked = evidence["candidates"]
    assert present["limits_qps"] == [None] * 3
    assert picked["limits_qps"] == [50.0] * 3
    tuned = Bundle.open(out)
    assert verify(out) == []
    assert tuned.fingerprint == bundle.fingerprint
    assert "batch_timeout_micros {\n}" in (tuned.serving_path / "batching.config").read_text()
    assert json.loads((tuned.serving_path / EVIDENCE).read_text()) == evidence
    write_report([work_of(out) / EVIDENCE], out=tmp_path / "page.html")
    page = re.sub(r"<.*?>", "", (tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "Machine of the measurements" in page
    assert "All cases: no sweep of loads" in page
