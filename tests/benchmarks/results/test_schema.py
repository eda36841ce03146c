"""The published schema: valid, whole, and true to what the code writes."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from dualtower_benchmarks.cli import bench
from dualtower_benchmarks.scenario.case import Case
from dualtower_benchmarks.scenario.run import SCHEMA as WRITTEN
from dualtower_benchmarks.scenario.settings import ScenarioSettings
from dualtower_benchmarks.schema import DOCUMENTS, SCHEMA, results_schema, schema_of


def problems(document: dict[str, Any]) -> list[str]:
    validator = jsonschema.Draft202012Validator(results_schema())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


@pytest.mark.parametrize("of", DOCUMENTS)
def test_they_are_schemas_of_their_draft(of: str) -> None:
    schema = schema_of(of)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema")
    for path, part in objects_in(schema):
        open_ended = part.get("additionalProperties", part.get("unevaluatedProperties"))
        assert open_ended is not None or "properties" not in part or path.endswith("_fields"), path
        if "properties" in part:
            assert set(part.get("required", ())) <= set(part["properties"]), path


def objects_in(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        if "object" in (schema.get("type"), *(schema.get("type") or ())):
            yield path, schema
        for name, inner in schema.items():
            yield from objects_in(inner, f"{path}/{name}")


def test_what_is_written_has_a_version() -> None:
    assert results_schema()["properties"]["schema"]["const"] == SCHEMA == WRITTEN


def test_the_command_prints_them() -> None:
    for options, of in (([], "results"), *((["--of", of], of) for of in DOCUMENTS)):
        done = CliRunner().invoke(bench, ["schema", *options])
        assert done.exit_code == 0
        assert json.loads(done.output) == schema_of(of)
    assert CliRunner().invoke(bench, ["schema", "--of", "limits"]).exit_code == 2


def test_what_is_written_is_valid(drawn) -> None:
    assert problems(drawn.document) == []


def test_case_and_settings_are_those_of_the_code() -> None:
    definitions = results_schema()["$defs"]
    fields = {field.name for field in dataclasses.fields(Case)}
    assert set(definitions["case_fields"]["properties"]) == fields
    assert set(definitions["case_fields"]["required"]) == fields
    settings = definitions["scenario"]["properties"]["settings"]
    assert set(settings["properties"]) == {f.name for f in dataclasses.fields(ScenarioSettings)}


def keys_with(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        for name, inner in schema.get("properties", {}).items():
            yield f"{path}/{name}", inner
        for name, inner in schema.items():
            yield from keys_with(inner, f"{path}/{name}")


@pytest.mark.parametrize("of", DOCUMENTS)
def test_every_key_is_described_with_its_unit(of: str) -> None:
    schema = schema_of(of)
    for path, inner in keys_with(schema):
        said = inner.get("description") or schema["$defs"][inner["$ref"].rpartition("/")[2]].get(
            "description", ""
        )
        assert len(said) > 8, path
        name = path.rpartition("/")[2]
        for ending, unit in (("_s", "econds"), ("_ms", "illiseconds"), ("_qps", "second")):
            if name.endswith(ending) and name != "rows_per_s":
                assert unit in said, f"{path} does not say its unit"


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d["points"][0].update(surprise=1),
        lambda d: d["points"][0].pop("n"),
        lambda d: d["points"][0]["p50_ms"].update(mean=1.0),
        lambda d: d["points"][0].update(p50_ms=3.5),
        lambda d: d["points"][0].update(errors={"UNAVAILABLE": 0}),
        lambda d: d["points"][0].update(void=""),
        lambda d: d["points"][0].update(loop="half open"),
        lambda d: d["scenario"]["cases"][0].update(reason="none"),
        lambda d: d["absent"][0].pop("reason"),
        lambda d: d["machine"].update(hostname="x"),
        lambda d: d.update(schema=1),
        lambda d: d.update(surprise={}),
        lambda d: d.pop("raw_file"),
    ],
)
def test_anything_else_is_refused(drawn, edit) -> None:
    document = copy.deepcopy(drawn.document)
    edit(document)
    assert len(problems(document)) == 1
