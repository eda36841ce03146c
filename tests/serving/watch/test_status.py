"""`dualtower status` on real servers: one pair, a mixed one, nothing at all, and its traffic."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from dualtower.bundle import MODELS, Bundle
from dualtower_clients import Recommender, ServingClient
from dualtower_clients.proto import management_pb2
from dualtower_serving.launch import free_port
from dualtower_serving.rollout.replica import Labelled
from dualtower_serving.watch.cli import status
from dualtower_serving.watch.snapshot import judge

METRICS = 'prometheus_config { enable: true path: "/metrics" }'


def _ask(*args: str):
    return CliRunner().invoke(status, args)


@pytest.fixture
def both(bundles, tmp_path: Path) -> Path:
    """Version 1 of space a beside version 2 of space b."""
    for name in ("a1", "b2"):
        shutil.copytree(bundles[name] / "serving", tmp_path / "models", dirs_exist_ok=True)
    return tmp_path / "models"


def _config(folder: Path, labels: dict[str, dict[str, int]]) -> management_pb2.ModelServerConfig:
    config = management_pb2.ModelServerConfig()
    for model in MODELS:
        one = config.model_config_list.config.add(
            name=model, base_path=str(folder / model), model_platform="tensorflow"
        )
        one.model_version_policy.all.SetInParent()
        for label, version in labels.get(model, {}).items():
            one.version_labels[label] = version
    return config


def _labels(**versions: int) -> dict[str, dict[str, int]]:
    return {model: dict(versions) for model in MODELS}


def test_what_is_a_pair_and_what_is_not(both: Path, bundles, model_server, tmp_path: Path) -> None:
    (tmp_path / "monitoring").write_text(METRICS, encoding="utf-8")
    (tmp_path / "models.config").write_text(str(_config(both, {})), encoding="utf-8")
    rest = free_port()
    server = model_server(
        f"--model_config_file={tmp_path / 'models.config'}",
        f"--rest_api_port={rest}",
        f"--monitoring_config_file={tmp_path / 'monitoring'}",
    )
    server.wait_ready(*MODELS)
    with ServingClient(server.address) as client:
        for model in MODELS:
            while len([1 for one in client.status(model) if one.state == "AVAILABLE"]) < 2:
                time.sleep(0.05)
        client.reload(_config(both, _labels(stable=1, beta=2)))
        fingerprints = [Bundle.open(bundles[name]).fingerprint for name in ("a1", "b2")]

        good = _ask(server.address, "--label", "beta", "--json")
        assert good.exit_code == 0, good.output
        said = json.loads(good.stdout)
        assert said["problems"] == []
        assert {one["label"]: one["answers"]["recommender"] for one in said["asked"]} == {
            None: {"version": 2, "fingerprint": fingerprints[1]},
            "stable": {"version": 1, "fingerprint": fingerprints[0]},
            "beta": {"version": 2, "fingerprint": fingerprints[1]},
        }
        assert [one["version"] for one in said["models"]["user_tower"]] == [1, 2]

        with Recommender(server.address) as recommender:
            for _ in range(5):
                recommender.recommend([], k=3)
        url = f"http://localhost:{rest}/metrics"
        busy = _ask(server.address, "--metrics", url, "--over-s", "0.1", "--json")
        traffic = {one["model"]: one for one in json.loads(busy.stdout)["traffic"]}
        assert traffic["recommender"]["requests"] >= 5
        assert traffic["recommender"]["p99_ms"] > 0
        for part in ("recommender", "calls/s", fingerprints[1][:12], "one pair"):
            assert part in _ask(server.address, "--metrics", url, "--over-s", "0.1").stdout
        wrong = _ask(server.address, "--metrics", f"http://localhost:{rest}/nowhere")
        assert "answers 404" in str(wrong.exception)

        client.reload(_config(both, {**_labels(stable=1),
                                     "item_tower": {"stable": 2}}))  # fmt: skip
        mixed = _ask(server.address)
        assert mixed.exit_code == 1
        assert "PROBLEM: stable: of different bundles (user_tower 1 of" in mixed.stdout

        gone = _config(both, {})
        del gone.model_config_list.config[1]
        client.reload(gone)
        while any(one.state == "AVAILABLE" for one in client.status("item_tower")):
            time.sleep(0.05)
        lost = _ask(server.address)
        assert lost.exit_code == 1
        assert "PROBLEM: item_tower has no AVAILABLE version (1 END, 2 END)" in lost.stdout


def test_a_server_that_is_not_there_is_no_verdict() -> None:
    from dualtower_clients import ServerUnreachable

    assert isinstance(_ask("localhost:1", "--timeout-s", "1").exception, ServerUnreachable)


@pytest.mark.parametrize(
    ("label", "answers", "why"),
    [
        ("stable", [(1, "a"), (1, "a"), (1, "a")], ""),
        (None, [(1, "a"), (2, "a"), (1, "a")], ""),
        ("stable", [(1, "a"), (2, "a"), (1, "a")], "of different versions"),
        (None, [(1, "a"), (2, "b"), (1, "a")], "of different bundles"),
        ("stable", [(1, "a"), None, (1, "a")], "item_tower has nothing under it"),
        ("stable", [(1, "a"), (3, ""), (1, "a")], "what is not loaded: item_tower 3"),
    ],
)
def test_rules_of_a_pair(label, answers, why: str) -> None:
    named = {
        model: None if one is None else Labelled(*one)
        for model, one in zip(MODELS, answers, strict=True)
    }
    found = judge(label, named).why_not
    assert why in found
    assert bool(found) == bool(why)
