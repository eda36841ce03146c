"""The programs of `examples/`, as their first lines say to run them, against a served bundle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from dualtower_clients import Recommender
from dualtower_serving.launch import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def service(served):
    """The FastAPI service's address."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "--app-dir", EXAMPLES, "--port", str(port),
         "fastapi_service:app"],
        env={**os.environ, "DUALTOWER_ADDRESS": served.address},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while not _answers(address):
        assert process.poll() is None, process.stdout.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield address
    process.terminate()
    assert process.wait(30) in (0, -15)
    process.stdout.close()


def _answers(address: str) -> bool:
    try:
        return get(f"{address}/ready")[0] == 200
    except OSError:
        return False


def get(url: str) -> tuple[int, dict]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_service_recommends_what_the_client_does(service, served) -> None:
    status, found = get(f"{service}/recommend?item=item+number+2&item=item+number+5&k=3")
    assert status == 200
    with Recommender(served.address) as recommender:
        expected = recommender.recommend(["item number 2", "item number 5"], k=3)
    assert [one["item_id"] for one in found["items"]] == list(expected.item_ids)
    assert found["fingerprint"] == expected.fingerprint


def test_the_service_answers_for_somebody_who_is_not_known(service) -> None:
    status, found = get(f"{service}/recommend?k=2")
    assert (status, len(found["items"])) == (200, 2)


@pytest.mark.parametrize(("query", "words"), [("k=0", "greater than"), ("k=99", "k_max")])
def test_the_service_says_what_is_wrong_with_a_request(service, query, words) -> None:
    status, found = get(f"{service}/recommend?{query}")
    assert status == 422
    assert words in json.dumps(found)


def test_the_service_says_which_bundle_answers(service, served) -> None:
    status, found = get(f"{service}/ready")
    assert status == 200
    with Recommender(served.address) as recommender:
        expected = {name: one.fingerprint for name, one in recommender.describe().items()}
    assert found == expected


def test_the_job_answers_every_user_in_order(served) -> None:
    users = [
        {"user_id": f"u{n}", "history": [f"item number {n % 7}", f"item number {n % 5}"][: n % 3]}
        for n in range(500)
    ]
    done = subprocess.run(
        [sys.executable, EXAMPLES / "batch_job.py", served.address, "3"],
        input="\n".join(map(json.dumps, users)),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["user_id"] for one in found] == [one["user_id"] for one in users]
    with Recommender(served.address) as recommender:
        expected = recommender.recommend_batch([one["history"] for one in users[:30]], k=3)
    assert [one["item_ids"] for one in found[:30]] == [list(one.item_ids) for one in expected]


@pytest.mark.slow
def test_the_notebook_runs(served, monkeypatch) -> None:
    monkeypatch.setenv("DUALTOWER_ADDRESS", served.address)
    notebook = nbformat.read(EXAMPLES / "recommend.ipynb", as_version=4)
    assert all(not one.get("outputs") for one in notebook.cells), "committed without outputs"
    done = NotebookClient(notebook, timeout=100, kernel_name="python3").execute()
    said = "".join(
        output.get("text", "") for cell in done.cells for output in cell.get("outputs", ())
    )
    assert "at most" in said
    assert "0000000000" in said, "the mismatch names both fingerprints"
