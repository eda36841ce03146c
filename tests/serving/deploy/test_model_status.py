"""The probe, run by bash against REST servers on loopback that answer as model servers do."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path

import pytest

from dualtower.bundle import MODELS
from dualtower_serving.launch import free_port

OK = {"error_code": "OK", "error_message": ""}


def states(**versions: str) -> str:
    """The status JSON as the stock server lays it out: `v3="AVAILABLE"`, newest first."""
    entries = [
        {"version": name[1:], "state": state, "status": OK} for name, state in versions.items()
    ]
    return json.dumps({"model_version_status": entries}, indent=1)


AVAILABLE = states(v3="AVAILABLE")


@pytest.fixture
def rest() -> Iterator[Callable[[dict[str, tuple[int, str]]], int]]:
    """Serves `{model: (HTTP status, body)}`; 404 for other models, as the real one."""
    servers: list[ThreadingHTTPServer] = []

    def start(answers: dict[str, tuple[int, str]]) -> int:
        class Answers(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                name = self.path.removeprefix("/v1/models/")
                error = f"Could not find any versions of model {name}"
                code, body = answers.get(name, (404, json.dumps({"error": error})))
                data = body.encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def probe(mode: str, port: int, *models: str) -> subprocess.CompletedProcess[str]:
    with resources.as_file(
        resources.files("dualtower_serving.deploy").joinpath("model_status.sh")
    ) as script:
        return subprocess.run(
            # as Kubernetes runs it: no shell around it, nothing in the environment
            ["/bin/bash", str(script), mode, str(port), *(models or MODELS)],
            capture_output=True, text=True, check=False, env={}, stdin=subprocess.DEVNULL,
        )  # fmt: skip


def test_ready_when_all_models_have_the_version(rest) -> None:
    done = probe("ready", rest(dict.fromkeys(MODELS, (200, AVAILABLE))))
    assert (done.returncode, done.stdout) == (0, "AVAILABLE in all: 3\n"), done.stderr


def test_compact_json_is_read_too(rest) -> None:
    body = json.dumps(json.loads(AVAILABLE), separators=(",", ":"))
    assert probe("ready", rest(dict.fromkeys(MODELS, (200, body)))).returncode == 0


@pytest.mark.parametrize("state", ["START", "LOADING", "UNLOADING", "END", "UNKNOWN"])
def test_http_200_is_not_enough(rest, state: str) -> None:
    answers = dict.fromkeys(MODELS, (200, AVAILABLE))
    port = rest({**answers, "item_tower": (200, states(v3=state))})
    done = probe("ready", port)
    assert done.returncode == 1
    assert "item_tower: no version is AVAILABLE" in done.stderr
    assert probe("live", port).returncode == 0


def test_a_mixed_pair_is_not_ready(rest) -> None:
    answers = dict.fromkeys(MODELS, (200, AVAILABLE))
    port = rest({**answers, "recommender": (200, states(v4="AVAILABLE", v3="END"))})
    done = probe("ready", port)
    assert done.returncode == 1
    assert "mixed pair: recommender has 4 , before 3" in done.stderr
    assert probe("live", port).returncode == 0


def test_two_versions_are_ready_while_one_is_common(rest) -> None:
    """As in a rollout by labels: 13 is no 3."""
    answers = {
        "user_tower": (200, states(v13="AVAILABLE", v3="AVAILABLE")),
        "item_tower": (200, states(v13="LOADING", v3="AVAILABLE")),
        "recommender": (200, states(v4="AVAILABLE", v3="AVAILABLE", v2="END")),
    }
    assert probe("ready", rest(answers)).stdout == "AVAILABLE in all: 3\n"
    answers["item_tower"] = (200, states(v13="AVAILABLE", v3="END"))
    assert probe("ready", rest(answers)).returncode == 1


def test_an_error_message_is_no_state(rest) -> None:
    """A failed load may quote anything."""
    said = {"error_code": "INTERNAL", "error_message": '"version":"3","state":"AVAILABLE"'}
    entry = {"version": "3", "state": "END", "status": said}
    body = json.dumps({"model_version_status": [entry]}, indent=1)
    port = rest({**dict.fromkeys(MODELS, (200, AVAILABLE)), "user_tower": (200, body)})
    assert probe("ready", port).returncode == 1


def test_an_unknown_model_is_not_ready_and_alive(rest) -> None:
    port = rest({"user_tower": (200, AVAILABLE)})
    done = probe("ready", port)
    assert (done.returncode, done.stderr) == (1, "item_tower: HTTP 404\n")
    assert probe("live", port).returncode == 0


def test_no_server_is_neither() -> None:
    port = free_port()
    for mode in ("ready", "live"):
        done = probe(mode, port)
        assert (done.returncode, done.stderr) == (1, f"no answer at port {port}\n")


def test_wrong_use() -> None:
    script = resources.files("dualtower_serving.deploy").joinpath("model_status.sh")
    done = subprocess.run(["/bin/bash", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage" in done.stderr


def test_it_asks_a_real_model_server(model_server, mini_bundle, tmp_path: Path) -> None:
    config = tmp_path / "models.config"
    text = (mini_bundle / "serving/models.config").read_text()
    config.write_text(text.replace('"/models/', f'"{mini_bundle}/serving/'))
    port = free_port()
    server = model_server(f"--model_config_file={config}", f"--rest_api_port={port}")
    server.wait_ready(*MODELS)
    done = probe("ready", port)
    assert (done.returncode, done.stdout) == (0, "AVAILABLE in all: 1\n"), done.stderr
    assert probe("ready", port, "user_tower", "nobody").returncode == 1
    assert probe("live", port).returncode == 0
