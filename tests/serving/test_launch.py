"""`dualtower serve` and its Python door: engines, readiness, failures, no process left behind."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

from dualtower.bundle import Bundle
from dualtower.errors import BundleError, UnavailableError, UsageError
from dualtower_clients import Recommender
from dualtower_serving import RunningServer, engines, start
from dualtower_serving.cli import serve
from dualtower_serving.launch import free_port

MAIN = "from dualtower.cli import main; main()"
COMMAND = [sys.executable, "-c", MAIN, "serve"]
# a shell starts what runs in its background with Ctrl-C ignored, tests and their children with it
HEARD = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
# a stand-in for the stock binary: SERVER is the embedded one, or what $DUALTOWER_SERVER_CMD names
BINARY = """#!/bin/sh
exec SERVER "$@"
"""
# a stand-in for Docker: runs the command of the container here, with its paths and ports put back
DOCKER = r"""#!/bin/bash
[ "$1" = version ] && { echo 28.2.2; exit 0; }
[ "$1" = rm ] && { echo "$3" >> "$(dirname "$0")/removed"; exit 0; }
for flag do
  case $flag in
    --publish=*:8500) port=${flag#--publish=}; port=${port%%:*} ;;
    --publish=*:8501) rest=${flag#--publish=}; rest=${rest%%:*} ;;
    --volume=*) serving=${flag#--volume=}; serving=${serving%%:/models:ro} ;;
  esac
done
sed "s|/models/|$serving/|" "$serving/models.config" > "$(dirname "$0")/models.config"
while [ "$1" != example/serving:1 ]; do shift; done
shift
flags=("${@/#--port=8500/--port=$port}")
flags=("${flags[@]/#--rest_api_port=8501/--rest_api_port=$rest}")
flags=("${flags[@]//=\/models\/models.config/=$(dirname "$0")/models.config}")
exec SERVER "${flags[@]//=\/models\//=$serving/}"
"""


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def started():
    """`subprocess.Popen` whose processes and pipes are gone after the test, whatever happened."""
    with ExitStack() as stack:

        def start_process(command, **options):
            process = stack.enter_context(subprocess.Popen(command, **options))
            stack.callback(process.kill)
            return process

        yield start_process


def until_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def path_with(tmp_path, monkeypatch, server_command):
    """Puts programs in front of PATH; SERVER in their text is a model server's command."""
    server = shlex.join(server_command([]))

    def put(**programs: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, text in programs.items():
            program(folder, name, text.replace("SERVER", server))
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        return folder

    return put


def test_a_bundle_is_served_and_nothing_is_left(mini_bundle):
    lines: list[str] = []
    with start(mini_bundle, engine="embedded", log=lines.append) as server:
        assert server.engine == "embedded"
        assert alive(server.pid)
        assert server.running
        with Recommender(server.address) as client:
            assert client.recommend([], k=1).fingerprint == Bundle.open(mini_bundle).fingerprint
        assert "AVAILABLE" in "\n".join(server.log_tail())
        config = Path(
            next(flag for flag in server.command if "models.config" in flag).partition("=")[2]
        )
        assert config.is_file()
        assert config.parent.stat().st_mode & 0o077 == 0
    assert lines
    assert not alive(server.pid)
    assert not config.parent.exists()
    assert server.exit_code == 0
    server.close()  # once more does no harm


def get(address: str, path: str) -> str:
    with urllib.request.urlopen(f"http://{address}{path}", timeout=20) as answer:
        return answer.read().decode()


def check_rest_and_metrics(server: RunningServer) -> None:
    body = json.dumps({"inputs": {"text": ["a", "b"]}}).encode()
    request = urllib.request.Request(
        f"http://{server.rest_address}/v1/models/item_tower:predict", data=body
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert len(json.loads(answer.read())["outputs"]) == 2
    metrics = get(server.rest_address, "/monitoring/prometheus/metrics")
    assert ':tensorflow:serving:request_count{model_name="item_tower",status="OK"} ' in metrics


def test_the_stock_binary_is_taken_when_it_is_on_path(mini_bundle, path_with):
    path_with(tensorflow_model_server=BINARY)
    with start(mini_bundle, engine="auto", rest_port=0) as server:
        assert server.engine == "binary"
        assert server.command[0] == engines.BINARY
        assert "--enable_batching" in server.command
        batching = f"--batching_parameters_file={mini_bundle}/serving/batching.config"
        assert batching in server.command
        Recommender(server.address).close()
        check_rest_and_metrics(server)
    until_gone(server.pid)


def test_docker_is_taken_when_its_engine_answers(mini_bundle, path_with):
    folder = path_with(docker=DOCKER)
    with start(mini_bundle, engine="auto", image="example/serving:1", rest_port=0) as server:
        assert server.engine == "docker"
        command = " ".join(server.command)
        assert f"--publish={server.port}:8500 --publish={server.rest_port}:8501" in command
        assert f"--volume={mini_bundle}/serving:/models:ro" in command
        assert "--entrypoint=tensorflow_model_server example/serving:1 --port=8500" in command
        assert "--model_config_file=/models/models.config" in command
        assert "--batching_parameters_file=/models/batching.config" in command
        assert "--rest_api_port=8501 --monitoring_config_file=/models/monitoring.config" in command
        Recommender(server.address).close()
        check_rest_and_metrics(server)
    name = next(flag for flag in server.command if flag.startswith("--name=")).partition("=")[2]
    assert (folder / "removed").read_text().split() == [name]
    until_gone(server.pid)


def test_without_either_the_embedded_server_is_taken(path_with):
    path_with(docker="#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n")
    assert engines.choose("auto") == "embedded"
    with pytest.raises(UnavailableError, match="Cannot connect to the Docker daemon"):
        engines.choose("docker")
    with pytest.raises(UnavailableError, match="tensorflow_model_server is not on PATH"):
        engines.choose("binary")
    with pytest.raises(UsageError, match="no engine 'podman'"):
        engines.choose("podman")


def test_a_port_in_use_is_found_before_anything_starts(mini_bundle):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match=f"port {port} cannot be used"):
            start(mini_bundle, engine="embedded", port=port)
        with pytest.raises(UnavailableError, match=rf"port {port} cannot be used.* --rest-port"):
            start(mini_bundle, engine="embedded", rest_port=port)
    with pytest.raises(UsageError, match="between 1 and 65535, got --port 70000"):
        start(mini_bundle, engine="embedded", port=70000)
    port = free_port()
    with pytest.raises(UsageError, match=f"cannot share port {port}"):
        start(mini_bundle, engine="embedded", port=port, rest_port=port)


def test_a_port_taken_meanwhile_is_explained(mini_bundle, path_with):
    path_with(tensorflow_model_server="#!/bin/sh\necho 'bind: Address already in use'\nexit 1\n")
    with pytest.raises(UnavailableError, match=r"was taken meanwhile(.|\n)*Address already in use"):
        start(mini_bundle, engine="binary")


def test_a_server_that_goes_on_without_rest_is_not_ready(mini_bundle, path_with, monkeypatch):
    """As the stock one does when the port was taken meanwhile."""
    monkeypatch.setattr("dualtower_serving.launch._REST_S", 0.5)
    without = BINARY.replace("exec SERVER", "flags=()\nfor flag do\n  case $flag in\n"
        "    --rest_api_port=*) echo 'Failed to start HTTP Server at localhost:8501' ;;\n"
        "    --monitoring_config_file=*) ;;\n    *) flags+=(\"$flag\") ;;\n  esac\ndone\n"
        "exec SERVER").replace('"$@"', '"${flags[@]}"').replace("/bin/sh", "/bin/bash")  # fmt: skip
    path_with(tensorflow_model_server=without)
    with pytest.raises(UnavailableError, match=r"REST port \d+ was taken meanwhile"):
        start(mini_bundle, engine="binary", rest_port=0, ready_timeout_s=60.0)


def test_a_server_that_dies_while_it_starts_is_explained(mini_bundle, tmp_path):
    broken = tmp_path / "bundle"
    shutil.copytree(mini_bundle, broken)
    (broken / "serving/item_tower/1/saved_model.pb").write_bytes(b"\x00 damaged")
    with pytest.raises(UnavailableError) as caught:
        start(broken, engine="embedded")
    assert "version 1 of item_tower did not load" in str(caught.value)
    assert "item_tower" in str(caught.value)


def test_a_server_that_is_never_ready_is_ended(mini_bundle, path_with, tmp_path):
    mark = tmp_path / "pid"
    path_with(tensorflow_model_server=f"#!/bin/sh\necho $$ > {mark}\nexec sleep 600\n")
    with pytest.raises(UnavailableError, match="did not become ready in time"):
        start(mini_bundle, engine="binary", ready_timeout_s=1.0)
    until_gone(int(mark.read_text()))


@pytest.mark.parametrize("missing", ["bundle.json", "serving/recommender/1/saved_model.pb"])
def test_no_whole_bundle_is_served(mini_bundle, tmp_path, missing):
    broken = tmp_path / "bundle"
    shutil.copytree(mini_bundle, broken)
    (broken / missing).unlink()
    with pytest.raises(BundleError, match=Path(missing).name):
        start(broken, engine="embedded")


def test_when_the_caller_is_killed_the_server_goes_too(mini_bundle, started):
    code = (
        "import sys, time\n"
        "from dualtower_serving import start\n"
        f"server = start({str(mini_bundle)!r}, engine='embedded')\n"
        "config = next(flag for flag in server.command if flag.endswith('models.config'))\n"
        "print(server.pid, config, flush=True)\n"
        "time.sleep(600)\n"
    )
    caller = started([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert caller.stdout is not None
    pid, config = caller.stdout.readline().split()
    assert alive(int(pid))
    caller.kill()
    caller.wait()
    until_gone(int(pid))
    deadline = time.monotonic() + 5
    while Path(config.partition("=")[2]).parent.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_it_is_told_to_stop(mini_bundle, started, number):
    port = free_port()
    options = ["--engine", "embedded", "--port", str(port), "--rest-port", "0", "--json"]
    command = [sys.executable, "-c", HEARD + MAIN, "serve", str(mini_bundle), *options]
    served = started(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert served.stdout is not None
    facts = json.loads(served.stdout.readline())
    assert facts["address"] == f"localhost:{port}"
    assert facts["engine"] == "embedded"
    Recommender(facts["address"]).close()
    assert "AVAILABLE" in get(facts["rest_address"], "/v1/models/user_tower")
    served.send_signal(number)
    _, errors = served.communicate(timeout=40)
    assert served.returncode == 0, errors
    assert "dualtower_serving.embedded.model_server" in errors  # the exact command was shown
    assert "stopped" in errors
    until_gone(facts["pid"])


def test_the_command_reports_a_server_that_dies(mini_bundle, started):
    command = [*COMMAND, str(mini_bundle), "--engine", "embedded", "--port", "0", "--json"]
    served = started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert served.stdout is not None
    os.kill(json.loads(served.stdout.readline())["pid"], signal.SIGKILL)
    _, errors = served.communicate(timeout=40)
    assert served.returncode == 2
    assert "memory" in errors
    assert "Traceback" not in errors


def test_a_dry_run_starts_nothing(mini_bundle):
    done = subprocess.run(
        [*COMMAND, str(mini_bundle), "--engine", "embedded", "--port", "0", "--dry-run"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "dualtower_serving.embedded.model_server" in done.stdout
    assert f'base_path: "{mini_bundle}/serving/item_tower"' in done.stderr
    assert "--rest_api_port=" in done.stdout
    assert "--monitoring_config_file=" in done.stdout


def dry_run(bundle: Path, *options: str) -> dict:
    command = ["--engine", "embedded", "--dry-run", "--json", *options]
    done = CliRunner().invoke(serve, [str(bundle), *command])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return json.loads(done.stdout)


def test_rest_is_answered_at_the_port_after(mini_bundle):
    for _ in range(20):
        port = free_port()
        with socket.socket() as probe:
            if port < 65535 and probe.connect_ex(("localhost", port + 1)):
                break
    assert dry_run(mini_bundle, "--port", str(port))["rest_port"] == port + 1
    assert dry_run(mini_bundle, "--port", "0")["rest_port"]
    alone = dry_run(mini_bundle, "--port", "0", "--no-rest", "--no-batching")
    assert alone["rest_port"] is None
    text = " ".join(alone["command"])
    assert not any(name in text for name in ("rest_api", "monitoring", "batching"))
    with pytest.raises(UsageError, match="contradict"):
        dry_run(mini_bundle, "--no-rest", "--rest-port", "8501")


def test_importing_the_launcher_brings_no_tensorflow():
    code = "import sys, dualtower_serving.cli; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
