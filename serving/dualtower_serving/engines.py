"""Which program serves a bundle, and the exact command that starts it. Pure but for two look-ups.

binary     tensorflow_model_server on PATH
docker     the stock image, where a Docker engine answers
embedded   dualtower-model-server: this Python, the same API and flags

All three get the same flags, so that one can stand in for the other.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dualtower.bundle import CONTAINER_ROOT, Bundle
from dualtower.errors import UnavailableError, UsageError
from dualtower.server_compute import AIMS, compute_for
from dualtower_serving.bundle_flags import own_flags

__all__ = ["BINARY", "DEFAULT_IMAGE", "ENGINES", "Plan", "choose", "plan"]

ENGINES = ("auto", "binary", "docker", "embedded")
BINARY = "tensorflow_model_server"
# The newest release of the stock image as of November 2026. Its TensorFlow is one minor version
# older than ours: the ops of a bundle are kept to those that it knows.
DEFAULT_IMAGE = "tensorflow/serving:2.20.0"
_CONTAINER_PORT = 8500
_CONTAINER_REST_PORT = 8501
_DOCKER_ANSWER_S = 10.0
# a bundle never changes: what fails to load once fails always, and by default six times in a row
_FAIL_FAST = "--max_num_load_retries=0"
_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "1"}
_MONITORING = "monitoring.config"


@dataclass(frozen=True)
class Plan:
    """How a server is started.

    Attributes:
        engine: binary, docker or embedded.
        command: program and arguments.
        environment: variables set on top of this process's.
        cleanup: a command that removes what the server may leave behind, empty for none.
        batching: whether requests are batched.
    """

    engine: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    cleanup: tuple[str, ...] = ()
    batching: bool = False


def choose(engine: str) -> str:
    """The engine itself, or for "auto" the first that can run here.

    Raises:
        UsageError: no such engine.
        UnavailableError: the one that was asked for cannot run here.
    """
    if engine not in ENGINES:
        raise UsageError(f"no engine {engine!r}; there are {', '.join(ENGINES)}")
    if engine in ("auto", "binary") and shutil.which(BINARY):
        return "binary"
    if engine == "binary":
        raise UnavailableError(
            f"{BINARY} is not on PATH; install it, or use --engine docker or embedded"
        )
    if engine in ("auto", "docker"):
        problem = _docker_problem()
        if not problem:
            return "docker"
        if engine == "docker":
            raise UnavailableError(f"{problem}; start it, or use --engine embedded")
    return "embedded"


def plan(
    engine: str,
    bundle: Bundle,
    *,
    port: int,
    models_config: Path,
    rest_port: int | None = None,
    batching: bool | None = None,
    image: str = DEFAULT_IMAGE,
    flags: Sequence[str] = (),
    aim: str = AIMS[0],
) -> Plan:
    """The command for an engine that `choose` gave.

    Args:
        engine: binary, docker or embedded.
        bundle: what is served.
        port: where gRPC is answered.
        models_config: the configuration with this machine's absolute paths.
        rest_port: where REST and, if the bundle configures them, metrics are answered; None: not.
        batching: whether requests of different callers share a run; None: as the bundle's own
            flags say, and where it has none they do.
        image: the container image.
        flags: further flags of the model server, "--name=value"; they win over those set here.
        aim: what the cores are spent on; see `server_compute`. For throughput the bundle's own
            flags count, where it has them.

    Raises:
        UsageError: there is no such aim.
        BundleError: the bundle's own flags cannot be read.
    """
    compute, own = compute_for(aim), own_flags(bundle)
    of_aim = own.flags if own is not None and aim == AIMS[0] else compute.flags
    flags = (*of_aim, *flags)
    if batching is None:
        batching = own is None or own.batching
    environment = {**_ENVIRONMENT, **compute.environment}
    if engine == "docker":
        return _docker_plan(
            bundle,
            port=port,
            rest_port=rest_port,
            image=image,
            batching=batching,
            flags=flags,
            environment=environment,
        )
    program = (
        (BINARY,)
        if engine == "binary"
        else (sys.executable, "-m", "dualtower_serving.embedded.model_server")
    )
    command = (
        *program,
        f"--port={port}",
        f"--model_config_file={models_config}",
        *_bundle_flags(bundle, str(bundle.serving_path), rest_port=rest_port, batching=batching),
        *flags,
    )
    return Plan(engine, command, environment, batching=batching)


def _docker_plan(
    bundle: Bundle,
    *,
    port: int,
    rest_port: int | None,
    image: str,
    batching: bool,
    flags: Sequence[str],
    environment: Mapping[str, str],
) -> Plan:
    name = f"dualtower-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    variables = [f"--env={key}={value}" for key, value in environment.items()]
    published = [f"--publish={port}:{_CONTAINER_PORT}"]
    if rest_port is not None:
        published.append(f"--publish={rest_port}:{_CONTAINER_REST_PORT}")
    inside = None if rest_port is None else _CONTAINER_REST_PORT
    command = (
        "docker",
        "run",
        "--rm",
        "--init",  # the server as process 1 would not hear SIGTERM
        f"--name={name}",
        *published,
        f"--volume={bundle.serving_path}:{CONTAINER_ROOT}:ro",
        *variables,
        f"--entrypoint={BINARY}",
        image,
        f"--port={_CONTAINER_PORT}",
        f"--model_config_file={CONTAINER_ROOT}/models.config",
        *_bundle_flags(bundle, CONTAINER_ROOT, rest_port=inside, batching=batching),
        *flags,
    )
    return Plan("docker", command, cleanup=("docker", "rm", "--force", name), batching=batching)


def _bundle_flags(
    bundle: Bundle, serving: str, *, rest_port: int | None, batching: bool
) -> list[str]:
    """Those that name the bundle's files, which the server sees below `serving`."""
    flags = [_FAIL_FAST]
    if batching:
        flags += ["--enable_batching", f"--batching_parameters_file={serving}/batching.config"]
    if rest_port is not None:
        flags.append(f"--rest_api_port={rest_port}")
        if (bundle.serving_path / _MONITORING).is_file():
            flags.append(f"--monitoring_config_file={serving}/{_MONITORING}")
    return flags


def _docker_problem() -> str:
    """Why no container can be started here, "" if one can."""
    if not shutil.which("docker"):
        return "docker is not on PATH"
    try:
        asked = subprocess.run(
            ("docker", "version", "--format", "{{.Server.Version}}"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_DOCKER_ANSWER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the Docker engine does not answer ({error})"
    if asked.returncode:
        lines = asked.stderr.decode("utf-8", "replace").strip().splitlines()
        return f"no Docker engine answers ({lines[-1] if lines else 'no reason given'})"
    return ""
