"""What a server is started with for each aim, as the command that would run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dualtower.bundle import Bundle
from dualtower.errors import UsageError
from dualtower.server_compute import AIMS
from dualtower_export.config import ExportConfig
from dualtower_export.server_config import write_server_configs
from dualtower_serving import engines
from dualtower_serving.cli import serve
from dualtower_serving.embedded.flags import parse

ONEDNN, CALLER = "TF_ENABLE_ONEDNN_OPTS", "TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD"
ONE_CORE_AN_OP = "--tensorflow_intra_op_parallelism=1"


def plan(engine: str, bundle: Path, **settings) -> engines.Plan:
    opened = Bundle.open(bundle)
    return engines.plan(engine, opened, port=8500, models_config=bundle / "m", **settings)


@pytest.mark.parametrize("engine", ["binary", "embedded"])
def test_each_aim_has_its_threads(mini_bundle, engine: str) -> None:
    many, one = (plan(engine, mini_bundle, aim=aim) for aim in AIMS)
    assert (many.environment[ONEDNN], one.environment[ONEDNN]) == ("1", "1")
    assert (many.environment[CALLER], one.environment[CALLER]) == ("0", "1")
    assert ONE_CORE_AN_OP in many.command
    assert not any("parallelism" in flag for flag in one.command)
    assert plan(engine, mini_bundle) == many


def test_a_container_gets_the_same(mini_bundle) -> None:
    many = plan("docker", mini_bundle)
    image = many.command.index(engines.DEFAULT_IMAGE)
    assert f"--env={ONEDNN}=1" in many.command[:image]
    assert f"--env={CALLER}=0" in many.command[:image]
    assert ONE_CORE_AN_OP in many.command[image:]
    assert f"--env={CALLER}=1" in plan("docker", mini_bundle, aim="latency").command


def test_a_container_started_by_a_bundles_files_is_the_one_that_serve_starts(
    mini_bundle, tmp_path: Path
) -> None:
    write_server_configs(tmp_path, ExportConfig())
    command = plan("docker", mini_bundle, rest_port=8501).command
    image = command.index(engines.DEFAULT_IMAGE)
    variables = (tmp_path / "server.env").read_text().splitlines()
    assert variables
    assert {f"--env={line}" for line in variables} <= set(command[:image])
    flags = (tmp_path / "server.flags").read_text().splitlines()
    assert set(flags) <= set(command[image:])
    assert ONE_CORE_AN_OP in flags
    for line in flags:  # each file that is named is there
        _, _, place = line.partition("=/models/")
        assert not place or (tmp_path / place).is_file()


def test_a_flag_of_the_callers_wins(mini_bundle) -> None:
    """The server takes the last of two."""
    mine = "--tensorflow_intra_op_parallelism=3"
    command = plan("embedded", mini_bundle, flags=[mine]).command
    assert command.index(ONE_CORE_AN_OP) < command.index(mine)
    flags = [flag for flag in command if flag.startswith("--")]
    assert parse(flags).tensorflow_intra_op_parallelism == 3


def test_the_command_takes_an_aim_and_no_other(mini_bundle) -> None:
    asked = ["--dry-run", "--json", "--engine", "embedded", "--port", "0", "--aim", "latency"]
    done = CliRunner().invoke(serve, [str(mini_bundle), *asked])
    facts = json.loads(done.stdout)
    assert facts["environment"][CALLER] == "1"
    assert ONE_CORE_AN_OP not in facts["command"]
    with pytest.raises(UsageError, match="throughput, latency"):
        plan("embedded", mini_bundle, aim="speed")
