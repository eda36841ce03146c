"""`dualtower bench clients`: what is compared with what, and how it is shown."""

from __future__ import annotations

import json
from importlib import metadata

import pytest

from dualtower.cli import main
from dualtower.errors import UnavailableError
from dualtower_benchmarks import client_speed
from dualtower_benchmarks.client_speed import ClientSpeed, measure_clients, requirements_of
from dualtower_benchmarks.client_table import client_tables

SMALL = ClientSpeed(rows=64, dim=32, strings=20, rounds=2, calls=3, starts=1)
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
def document() -> dict:
    return json.loads(json.dumps(measure_clients(SMALL)))


@pytest.mark.slow
def test_every_case_has_both_sides_and_a_ratio_within_its_turns(document) -> None:
    assert {row["case"] for row in document["codec"]} == CASES
    for row in document["codec"]:
        turns = row["turns_us"]
        assert [len(turns[side]) for side in ("client", "official")] == [2, 2]
        assert min(turns["client"]) <= row["client_us"] <= max(turns["client"])
        assert 0 < row["ratio_range"][0] <= row["ratio"] <= row["ratio_range"][1]


@pytest.mark.slow
def test_a_round_trip_is_the_sum_of_its_ways(document) -> None:
    turns = {row["case"]: row["turns_us"] for row in document["codec"]}
    whole = turns["strings to bytes and back"]
    for side in ("client", "official"):
        parts = (turns["strings to bytes"][side], turns["strings from bytes"][side])
        assert whole[side] == pytest.approx([sum(ways) for ways in zip(*parts, strict=True)])


@pytest.mark.slow
def test_interpreters_are_fresh_and_the_client_is_the_smaller_one(document) -> None:
    starts = document["starts"]
    sizes = [starts[kind]["resident_bytes"] for kind in ("python", "client", "official")]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[1] < sizes[2]
    assert all(start["cpu_s"] > 0 for start in starts.values())


@pytest.mark.slow
def test_what_is_installed_is_added_up(document) -> None:
    client, official = (document["installed"][side] for side in ("client", "official"))
    assert {"click", "grpcio", "numpy", "protobuf"} <= set(client["distributions"])
    assert "tensorflow" not in client["distributions"]
    assert {"tensorflow", "tensorflow-serving-api"} <= set(official["distributions"])
    assert client["total_bytes"] == sum(client["distributions"].values())
    assert client["distributions"]["numpy"] > 10_000_000


def test_requirements_leave_extras_out() -> None:
    assert "numpy" in requirements_of("dualtower")
    assert "pytest" not in requirements_of("dualtower")
    with pytest.raises(metadata.PackageNotFoundError):
        requirements_of("no-such-distribution")


@pytest.mark.slow
def test_tables_show_the_client_beside_the_official_way(document) -> None:
    codec, starts, installed = client_tables(document)
    assert "float32 [64, 32], 20 strings" in codec.title
    assert len(codec.rows) == len(CASES)
    assert [row[0] for row in starts.rows] == [
        "python alone",
        "dualtower_clients",
        "the official way",
    ]
    assert [row[0] for row in installed.rows] == ["dualtower_clients", "the official way"]
    missing = {**document, "installed": {**document["installed"], "official": None}}
    assert client_tables(missing)[2].rows[1] == ["the official way", "–", "–", ""]


def test_what_cannot_be_imported_is_said() -> None:
    with pytest.raises(UnavailableError, match=r"official side cannot be imported: .*no_such"):
        client_speed._start("official", "import no_such_module")


def test_the_command_has_an_example_and_exit_2(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["bench", "clients", "--help"])
    assert stop.value.code == 0
    assert "Example: dualtower bench clients" in capsys.readouterr().out
    for wrong in (["--rounds", "0"], ["--rows", "x"], ["--seed", "-1"], ["bundle"]):
        with pytest.raises(SystemExit) as stop:
            main(["bench", "clients", *wrong])
        assert stop.value.code == 2
