"""`labels.config` of a bundle: refused by a server that starts, taken by one that has loaded."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from dualtower.bundle import MODELS
from dualtower_clients import RequestError, ServingClient
from dualtower_export.config import ExportConfig
from dualtower_export.server_config import write_server_configs

ANY_LABEL = "--allow_version_labels_for_unavailable_models"


@pytest.fixture
def configs(mini_bundle: Path, tmp_path: Path) -> Path:
    """The files of an export of version 1, with the base paths of this place."""
    write_server_configs(tmp_path, ExportConfig(version_policy="specific"))
    for name in ("models.config", "labels.config"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        text = text.replace('"/models/', f'"{mini_bundle}/serving/')
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def _ask(client: ServingClient, label: str) -> int:
    return client.predict("item_tower", {"text": ["a"]}, label=label).version


def test_labels_stop_a_server_that_starts_unless_it_is_told(model_server, configs: Path) -> None:
    server = model_server(f"--model_config_file={configs / 'labels.config'}")
    assert server.process.wait(60) == 255
    assert "which is not currently available for inference" in server.log
    server = model_server(f"--model_config_file={configs / 'labels.config'}", ANY_LABEL)
    server.wait_ready(*MODELS)
    with ServingClient(server.address) as client:
        assert _ask(client, "stable") == 1


def test_labels_are_taken_once_the_version_is_there(model_server, configs: Path) -> None:
    """The file is read again: the way to labels on a server without the flag."""
    served = configs / "served.config"
    shutil.copy(configs / "models.config", served)
    server = model_server(
        f"--model_config_file={served}", "--model_config_file_poll_wait_seconds=1"
    )
    server.wait_ready(*MODELS)
    with ServingClient(server.address) as client:
        with pytest.raises(RequestError, match="Unrecognized servable version label"):
            _ask(client, "stable")
        shutil.copy(configs / "labels.config", served)
        end = time.monotonic() + 30
        while True:
            try:
                assert _ask(client, "stable") == 1
                break
            except RequestError:
                assert time.monotonic() < end, server.log
                time.sleep(0.1)
