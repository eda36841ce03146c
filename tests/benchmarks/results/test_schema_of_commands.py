"""Every command that prints JSON has a published schema, and what it prints is valid by it."""

from __future__ import annotations

import json
from typing import Any

import click
import jsonschema
import pytest

from dualtower.bundle import Bundle
from dualtower_benchmarks.cli import bench
from dualtower_benchmarks.roofline.bundle import roofline_of_bundle
from dualtower_benchmarks.roofline.peaks import PeakSettings
from dualtower_benchmarks.schema.layout import DOCUMENTS, schema_of
from dualtower_benchmarks.serving_cost.speed import ServingSpeed, measure_serving

# scenarios prints names with their texts; the evidence of tune goes into the bundle as it is
WITHOUT = {"scenarios", "tune"}


def test_every_command_with_json_has_a_schema() -> None:
    of: dict[str, str] = {}
    for name, command in bench.commands.items():
        for option in command.params:
            if isinstance(option, click.Option) and "--json" in option.opts:
                prints_results = option.help == "Print the results file instead."
                of[name] = "results" if prints_results else name
    assert len(of) >= 14
    assert {name for name, kind in of.items() if kind not in DOCUMENTS} == WITHOUT
    assert set(DOCUMENTS) <= set(of.values())
    assert of["run"] == of["limit"] == of["events"] == "results"


def problems(of: str, document: dict[str, Any]) -> list[str]:
    plain = json.loads(json.dumps(document))
    validator = jsonschema.Draft202012Validator(schema_of(of))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(plain)]


@pytest.mark.slow
def test_what_roofline_prints_is_valid(small_bundle: Bundle) -> None:
    settings = PeakSettings((1,), turns=6, matrix_size=64, array_bytes=1_000_000, bfloat16=False)
    document = roofline_of_bundle(small_bundle.path, batches=[1], settings=settings, measured_s=0.1)
    assert problems("roofline", document) == []
    assert problems("roofline", {**document, "points": [{"model": "m"}]})


@pytest.mark.slow
def test_what_serving_prints_is_valid(small_bundle: Bundle) -> None:
    speed = ServingSpeed(
        engine="embedded", clients=2, rows=(8,), callers=(1,), rounds=1, seconds=0.2
    )
    document = measure_serving(small_bundle.path, speed)
    assert problems("serving", document) == []
    assert problems("serving", {**document, "engine": None})
