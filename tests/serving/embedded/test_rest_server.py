"""REST and metrics of a whole server with models in it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualtower_serving.launch import free_port


@dataclass
class Rest:
    """Calls over one REST port."""

    port: int

    def ask(self, verb: str, path: str, body: object = None) -> tuple[int, Any]:
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        opened = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        opened.request(verb, path, raw)
        answer = opened.getresponse()
        read = answer.read()
        opened.close()
        is_json = answer.headers["content-type"] == "application/json"
        return answer.status, json.loads(read) if is_json else read.decode()

    def wait(self, milliseconds: int) -> tuple[int, Any]:
        return self.ask("POST", "/v1/models/slow:predict", {"instances": [milliseconds]})

    def runs_so_far(self) -> int:
        body = {"signature_name": "count", "inputs": [0]}
        return self.ask("POST", "/v1/models/slow:predict", body)[1]["outputs"][0]

    def metric(self, line: str) -> float:
        page = self.ask("GET", "/metrics")[1]
        values = [row.rpartition(" ")[2] for row in page.splitlines() if row.startswith(line)]
        return sum(map(float, values))


@pytest.fixture(scope="module")
def rest(shared_server, small_config: Path, tmp_path_factory) -> Iterator[Rest]:
    monitoring = tmp_path_factory.mktemp("monitoring") / "monitoring.txt"
    monitoring.write_text('prometheus_config { enable: true path: "/metrics" }')
    port = free_port()
    started = shared_server(
        f"--model_config_file={small_config}",
        f"--rest_api_port={port}",
        f"--monitoring_config_file={monitoring}",
        "--rest_api_timeout_in_ms=3000",
        "--grpc_max_threads=1",
    )
    started.wait_ready("examples", "slow")
    yield Rest(port)
    assert started.stop() == 0, started.log
    assert "Traceback" not in started.log, started.log


def test_predict_classify_regress_status_and_metadata(rest: Rest):
    assert rest.ask("POST", "/v1/models/slow:predict", {"inputs": {"ms": [1, 0]}}) == (
        200,
        {"outputs": [1, 0]},
    )
    assert rest.ask(
        "POST", "/v1/models/examples/versions/1:regress", {"examples": [{"x": 0.5}]}
    ) == (
        200,
        {"results": [0.5]},
    )
    body = {"signature_name": "classify", "context": {"w": 0.5}, "examples": [{"x": 0.5}]}
    status, read = rest.ask("POST", "/v1/models/examples:classify", body)
    assert status == 200
    assert [score for _, score in read["results"][0]] == [0.75, 0.25]
    status, read = rest.ask("GET", "/v1/models/slow/versions/1")
    assert read == {
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    status, read = rest.ask("GET", "/v1/models/slow/metadata")
    assert read["model_spec"] == {"name": "slow", "signature_name": "", "version": "1"}
    signature = read["metadata"]["signature_def"]["signature_def"]["count"]
    assert signature["inputs"]["any"]["dtype"] == "DT_INT64"
    assert signature["inputs"]["any"]["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}],
        "unknown_rank": False,
    }


def test_large_bodies_are_decoded_beside_the_loop(rest: Rest):
    values = np.arange(200_000) % 2
    body = json.dumps({"instances": values.tolist()}).encode()
    assert rest.ask("POST", "/v1/models/slow:predict", body) == (
        200,
        {"predictions": values.tolist()},
    )


def test_a_run_beyond_the_limit_is_stopped(rest: Rest):
    assert rest.wait(60_000) == (504, {"error": "Timed out waiting for notification"})
    assert rest.wait(1) == (200, {"predictions": [1]})


def test_who_hangs_up_is_not_computed(rest: Rest):
    before = rest.runs_so_far()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(rest.wait, 1500)  # takes the only thread
        while rest.metric(':dualtower:calls_in_flight{entrypoint="REST"}') < 1:
            time.sleep(0.01)
        body = b'{"instances":[5]}'
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", rest.port)) as opened:
                opened.sendall(
                    b"POST /v1/models/slow:predict HTTP/1.1\r\nHost: x\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
                )
                while rest.metric(':dualtower:calls_in_flight{entrypoint="REST"}') < 2:
                    time.sleep(0.01)
        assert running.result() == (200, {"predictions": [1500]})
    assert rest.runs_so_far() == before + 1
    assert (
        rest.metric(':tensorflow:serving:request_count{model_name="slow",status="CANCELLED"}') == 3
    )


@pytest.mark.parametrize(
    ("verb", "path", "body", "model", "status"),
    [
        ("POST", "/v1/models/slow:predict", {"instances": [1]}, "slow", "OK"),
        ("POST", "/v1/models/slow:predict", b"{", "slow", "INVALID_ARGUMENT"),
        ("POST", "/v1/models/slow:predict", {"instances": ["a"]}, "slow", "INVALID_ARGUMENT"),
        ("POST", "/v1/models/nope:predict", {"instances": [1]}, "nope", "NOT_FOUND"),
        ("GET", "/v1/models/slow", None, "slow", "OK"),
        ("GET", "/v1/nothing", None, "", "INVALID_ARGUMENT"),
    ],
)
def test_each_call_is_counted_once(
    rest: Rest, verb: str, path: str, body: object, model: str, status: str
):
    line = f':tensorflow:serving:request_count{{model_name="{model}",status="{status}"}}'
    everything = ":tensorflow:serving:request_count{"
    before, all_before = rest.metric(line), rest.metric(everything)
    rest.ask(verb, path, body)
    assert rest.metric(line) == before + 1
    assert rest.metric(everything) == all_before + 1


def test_latency_of_rest_is_under_its_own_names(rest: Rest):
    count = ':tensorflow:serving:request_latency_count{model_name="slow",API="predict",'
    before = rest.metric(count + 'entrypoint="REST"}')
    rest.wait(0)
    assert rest.metric(count + 'entrypoint="REST"}') == before + 1
    run = ':tensorflow:serving:runtime_latency_count{model_name="slow",API="Predict",runtime="TF1"}'
    assert rest.metric(run) > 0


def test_the_versions_that_answer_are_shown(rest: Rest):
    assert rest.metric(':dualtower:model_version_available{model_name="slow",version="1"}') == 1
    assert rest.metric(":dualtower:model_version_available{") == 2


def test_many_callers_at_once_are_all_answered(rest: Rest):
    def call(number: int) -> bool:
        with contextlib.suppress(OSError):
            return rest.ask(
                "POST", "/v1/models/examples:regress", {"examples": [{"x": number + 0.5}]}
            ) == (
                200,
                {"results": [number + 0.5]},
            )
        return False

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(pool.map(call, range(200)))
