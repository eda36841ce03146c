"""`dualtower recommend` against a served bundle."""

from __future__ import annotations

import json
from functools import partial

from commands import in_new_process, in_process

from dualtower_serving.launch import free_port

run = partial(in_process, "recommend")


def test_a_table_for_people(served):
    done = run("--address", served.address, "--history", "item number 2", "-k", "3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["rank", "item", "score"]
    assert [line.split()[0] for line in lines[1:4]] == ["1", "2", "3"]
    assert "i2" not in done.stdout
    assert "version 1" in lines[4]


def test_json_for_programs(served):
    done = run("--address", served.address, "--item-id", "i2", "--exclude", "i6", "--json")
    assert done.returncode == 2  # ten items are more than this bundle gives
    done = in_new_process(
        "recommend", "--address", served.address,
        "--item-id", "i2", "--exclude", "i6", "-k", "3", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert len(result["items"]) == 3
    assert not {"i2", "i6"} & {item["item_id"] for item in result["items"]}
    assert len(result["fingerprint"]) == 64


def test_wrong_use_is_exit_code_two():
    done = run("--history", "a", "--item-id", "b")
    assert done.returncode == 2
    assert "not both" in done.stderr


def test_no_server_is_exit_code_two_with_advice():
    done = run("--address", f"localhost:{free_port()}")
    assert done.returncode == 2
    assert "dualtower serve" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_has_an_example():
    assert "Example:" in run("--help").stdout
