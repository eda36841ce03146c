"""`dualtower predict` against a served bundle."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import trustme
from click.testing import CliRunner
from commands import in_new_process, in_process

from dualtower.errors import UsageError
from dualtower_clients import Recommender
from dualtower_clients.predict_cli import predict

run = partial(in_process, "predict")


def refused(served, *arguments: str, stdin: str = "") -> str:
    with pytest.raises(UsageError) as caught:
        CliRunner().invoke(
            predict,
            ["--address", served.address, *arguments],
            input=stdin,
            catch_exceptions=False,
        )
    return str(caught.value)


def test_json_out_is_what_a_client_gets(served) -> None:
    done = in_new_process(
        "predict", "item_tower", "--address", served.address,
        "--input", 'text=["a b","c"]', "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["model"], found["version"], found["signature"]) == (
        "item_tower", 1, "serving_default",
    )  # fmt: skip
    with Recommender(served.address) as recommender:
        expected = recommender.embed_items(["a b", "c"]).vectors
    np.testing.assert_allclose(found["outputs"]["embedding"], expected, atol=1e-6)


def test_a_table_for_people(served) -> None:
    done = run("item_tower", "--address", served.address, "--input", 'text=["a b"]')
    assert done.returncode == 0, done.stderr
    assert "item_tower version 1, serving_default" in done.stdout
    assert "embedding" in done.stdout
    assert "float32" in done.stdout


def test_requests_of_rest_are_understood(served, tmp_path) -> None:
    path = tmp_path / "request.json"
    outputs = []
    for body in (
        {"inputs": {"text": ["a b"]}},
        {"inputs": ["a b"]},
        {"instances": ["a b"]},
        {"instances": [{"text": "a b"}], "signature_name": "serving_default"},
    ):
        path.write_text(json.dumps(body))
        done = run("item_tower", "--address", served.address, "--request", str(path), "--json")
        assert done.returncode == 0, done.stderr
        outputs.append(json.loads(done.stdout)["outputs"])
    assert outputs[1:] == outputs[:1] * 3
    done = run("item_tower", "--address", served.address, "--input", "text=-", stdin='["a b"]')
    assert done.returncode == 0, done.stderr


def test_signatures_are_described(served) -> None:
    table = run("recommender", "--address", served.address, "--describe").stdout
    assert "recommender, version 1" in table
    assert "string [?, ?]" in table
    found = json.loads(
        run("item_tower", "--address", served.address, "--describe", "--json").stdout
    )
    assert found["signatures"]["serving_default"]["inputs"] == {
        "text": {"dtype": "string", "shape": [-1]}
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--input", "text"], "'text' is no NAME=JSON"),
        (["--input", "text=[a]"], "--input text is no JSON"),
        (["--input", "text=[1]"], "'text' is string, got 1"),
        (["--input", 'words=["a"]'], "no input 'words', only text"),
        ([], "needs further inputs: text: string [?]"),
        (["--signature", "nope"], "no signature 'nope', only describe"),
        (["--version", "1", "--label", "stable"], "not both"),
        (["--request", "/no/such"], "cannot read /no/such"),
        (["--metadata", "x"], "--metadata 'x' is no KEY=VALUE"),
        (["--client-key", "/no/such"], "cannot read /no/such"),
    ],
)
def test_wrong_use_says_what_is_wanted(served, arguments, words) -> None:
    assert words in refused(served, "item_tower", *arguments)


@pytest.mark.parametrize("body", ["[1]", "{}", '{"inputs": {}, "instances": []}'])
def test_a_request_is_one_of_two_forms(served, body) -> None:
    assert '{"inputs": {...}} or' in refused(served, "item_tower", "--request", "-", stdin=body)


@pytest.mark.parametrize("rows", ["5", '{"text": "a"}', "null"])
def test_instances_are_a_list(served, rows) -> None:
    said = refused(served, "item_tower", "--request", "-", stdin=f'{{"instances": {rows}}}')
    assert '"instances" must be a list' in said


def test_errors_of_the_server_are_exit_code_two(served) -> None:
    done = run("spam", "--address", served.address, "--input", "x=[1]")
    assert done.returncode == 2
    assert "no such model or version" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_with_tls(tmp_path) -> None:
    authority = trustme.CA()
    roots = tmp_path / "roots.pem"
    authority.cert_pem.write_to_path(str(roots))
    done = run(
        "m", "--address", "localhost:1", "--root-certificates", str(roots), "--timeout-s", "0.5"
    )
    assert done.returncode == 2
    assert "no server answers" in done.stderr
