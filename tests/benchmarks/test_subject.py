"""What is measured, wherever in a scenario it is asked for: one set of fields, checks and keys."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from dualtower.errors import ConfigError
from dualtower_benchmarks.events.case import EventCase
from dualtower_benchmarks.limit.case import LimitCase
from dualtower_benchmarks.mlperf.case import MlperfCase
from dualtower_benchmarks.scenario.case import Case
from dualtower_benchmarks.scenario.scenario import read_scenario
from dualtower_benchmarks.scenario.subject import SUBJECT, Subject

GIVEN = {"model": "recommender", "batch_rows": 4, "tokens": "32", "batching": "off"}
CASES = [
    Case(**GIVEN, loop="closed"),
    LimitCase(**GIVEN),
    MlperfCase(**GIVEN),
    EventCase(**GIVEN, kind="cold_start"),
]
KEPT = Path(__file__).parents[2] / "benchmarks" / "results"
CASES_OF = {"cases": Case, "limit": LimitCase, "mlperf": MlperfCase, "event": EventCase}
ROWS_OF = {
    "edge-quick": lambda document: document["points"],
    "server-quick": lambda document: document["points"],
    "limit": lambda document: document["limits"]["rows"],
    "mlperf": lambda document: document["mlperf"]["rows"],
    "events": lambda document: document["events"]["rows"],
}
TABLES = {
    "sweep": 'loop = "closed"',
    "limit": "votes = 1",
    "mlperf": "connections = 1",
    "event": 'kind = "cold_start"',
}


def test_one_subject_under_four_loads_has_one_key_and_four_cases() -> None:
    assert len({case.subject_key for case in CASES}) == 1
    assert len({case.key for case in CASES}) == len(CASES)
    assert {case.words.count("recommender") for case in CASES} == {1}


@pytest.mark.parametrize("name", ROWS_OF)
def test_the_keys_are_those_of_kept_results(name: str) -> None:
    with gzip.open(KEPT / f"{name}.json.gz") as file:
        document = json.load(file)
    asked = [
        kind(**fields)
        for table, kind in CASES_OF.items()
        for fields in document["scenario"].get(table, ())
    ]
    rows = ROWS_OF[name](document)
    assert {row["key"] for row in rows} <= {case.key for case in asked}
    subjects = {row["subject"] for row in rows if "subject" in row}
    assert subjects <= {case.subject_key for case in asked}


@pytest.mark.parametrize("case", CASES, ids=lambda case: type(case).__name__)
def test_its_fields_are_columns_of_a_row(case: Subject) -> None:
    assert tuple(case.subject) == SUBJECT
    row = case.as_json()
    assert {name: row[name] for name in GIVEN} == GIVEN
    assert type(case)(**row) == case


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("batch_rows = 0", "batch_rows must be at least 1, got 0"),
        ('batch_rows = "x"', "batch_rows must be int, got 'x'"),
        ('tokens = "many"', "tokens is .*got 'many'"),
        ('flagss = "x"', "unknown key 'flagss'.*did you mean 'flags'"),
        ('device = "TPU"', "device is CPU or GPU, got 'TPU'"),
        ("threads = 0", "threads must be at least 1, got 0"),
        ('precision = "int4"', "precision is one of float32, bfloat16, float16, got 'int4'"),
        ('variant = "all"', "variant \"all\" is one of litert, got driver 'grpc'"),
    ],
)
def test_what_cannot_be_is_refused_in_every_table(
    tmp_path: Path, table: str, given: str, said: str
) -> None:
    name = given.split()[0]
    if table == "event" and name in ("device", "threads", "precision", "variant"):
        said = f"unknown key '{name}'"
    path = tmp_path / "s.toml"
    path.write_text(f"[[{table}]]\n{TABLES[table]}\n{given}\n")
    with pytest.raises(ConfigError, match=said) as refused:
        read_scenario(path)
    assert f"[[{table}]] 1 in {path}" in str(refused.value)
