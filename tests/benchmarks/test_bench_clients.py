"""`dualtower bench clients`: what is compared with what, and how it is shown."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import jsonschema
import pytest

from dualtower.cli import main
from dualtower.errors import UnavailableError
from dualtower_benchmarks.client import speed
from dualtower_benchmarks.client.case import ClientCase
from dualtower_benchmarks.client.speed import requirements_of
from dualtower_benchmarks.client.table import client_blocks
from dualtower_benchmarks.report import write_report
from dualtower_benchmarks.scenario.blocks import blocks_text
from dualtower_benchmarks.schema import read_results, results_schema

SMALL = ("rows=64", "dim=32", "strings=20", "rounds=2", "calls=3", "starts=1")
KINDS = ("float32", "strings")
CASES = {
    *(f"{kind} {way}" for kind in KINDS for way in ("to bytes", "from bytes")),
    *(f"{kind} {way}" for kind in KINDS for way in ("to a message", "from a message")),
    *(f"{kind} to {what} and back" for kind in KINDS for what in ("bytes", "a message")),
    "float32 from bytes, no copy",
    "float_val from bytes",
    "float_val from a message",
    "float_val to a message",
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clients") / "clients.json"
    small = [part for option in SMALL for part in ("--set", f"client.{option}")]
    main(["bench", "clients", *small, "--out", str(out)])
    return out


@pytest.mark.slow
def test_every_case_has_both_sides_and_a_ratio_within_its_turns(results: Path) -> None:
    document = read_results(results).document
    jsonschema.Draft202012Validator(results_schema()).validate(document)
    assert document["bundle"] is None
    codec = document["clients"]["codec"]
    assert {row["case"] for row in codec} == CASES
    assert len(codec) == len(CASES)
    for row in codec:
        for name in ("client_us", "official_us", "ratio"):
            assert 0 < row[name]["low"] <= row[name]["value"] <= row[name]["high"]
    times = {row["case"]: row["client_us"] for row in codec}
    whole = times["strings to bytes and back"]  # of two turns: the sum of both ways in each
    ways = (times["strings to bytes"], times["strings from bytes"])
    assert whole["value"] == pytest.approx(sum(way["value"] for way in ways))
    assert whole["high"] <= sum(way["high"] for way in ways) * (1 + 1e-9)


@pytest.mark.slow
def test_interpreters_are_fresh_and_the_client_is_the_smaller_one(results: Path) -> None:
    starts = {row["side"]: row for row in read_results(results).document["clients"]["starts"]}
    sizes = [starts[side]["resident_bytes"] for side in ("python", "client", "official")]
    assert sizes[0] < sizes[1] < sizes[2]
    assert all(start["cpu_s"] > 0 for start in starts.values())


@pytest.mark.slow
def test_what_is_installed_is_added_up(results: Path) -> None:
    client, official = read_results(results).document["clients"]["installed"]
    assert {"click", "grpcio", "numpy", "protobuf"} <= set(client["distributions"])
    assert "tensorflow" not in client["distributions"]
    assert {"tensorflow", "tensorflow-serving-api"} <= set(official["distributions"])
    assert client["total_bytes"] == sum(client["distributions"].values())
    assert client["distributions"]["numpy"] > 10_000_000


@pytest.mark.slow
def test_text_and_page_show_the_client_beside_the_official_way(
    results: Path, tmp_path: Path
) -> None:
    text = blocks_text(client_blocks(read_results(results).document["clients"]))
    assert "float32 [64, 32], 20 strings" in text
    for name in ("python alone", "dualtower_clients", "the official way", *CASES):
        assert name in text
    assert re.search(r"python alone +– +– +[\d.]+\sMB", text), "it imports nothing that takes time"
    write_report([results], out=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "strings to bytes and back" in page


def test_requirements_leave_extras_out() -> None:
    assert "numpy" in requirements_of("dualtower")
    assert "pytest" not in requirements_of("dualtower")
    with pytest.raises(metadata.PackageNotFoundError):
        requirements_of("no-such-distribution")


def test_what_cannot_be_imported_is_said() -> None:
    with pytest.raises(UnavailableError, match=r"official side cannot be imported: .*no_such"):
        speed._start("official", "import no_such_module")


def test_the_command_has_an_example_and_exit_2(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["bench", "clients", "--help"])
    assert stop.value.code == 0
    assert "Example: dualtower bench clients" in capsys.readouterr().out
    for wrong in (["--set", "client.rounds=0"], ["--set", "client.rows=x"], ["bundle"]):
        with pytest.raises(SystemExit) as stop:
            main(["bench", "clients", *wrong])
        assert stop.value.code == 2


def test_cases_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="calls must be at least 1, got 0"):
        ClientCase(calls=0)
