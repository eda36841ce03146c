"""The text files of the server, read as its own messages where the package has them."""

from __future__ import annotations

import re
from pathlib import Path

from dualtower.bundle import MODELS
from dualtower_export.config import ExportConfig
from dualtower_export.server_config import (
    batching_config,
    labels_config,
    models_config,
    monitoring_config,
    write_server_configs,
)


def test_models_config_parses_as_the_servers_message() -> None:
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    text = models_config(ExportConfig(version=7))
    parsed = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    entries = parsed.model_config_list.config
    assert [entry.name for entry in entries] == list(MODELS)
    for entry in entries:
        assert entry.base_path == f"/models/{entry.name}"
        assert entry.model_platform == "tensorflow"
        assert entry.model_version_policy.latest.num_versions == 1
        assert not entry.version_labels, "a server that starts with labels refuses them"


def test_a_policy_and_labels_name_the_version_of_the_bundle() -> None:
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    config = ExportConfig(version=7, version_policy="specific", version_labels=("stable", "eu-1"))
    parsed = text_format.Parse(labels_config(config), model_server_config_pb2.ModelServerConfig())
    entries = parsed.model_config_list.config
    assert [entry.name for entry in entries] == list(MODELS)
    for entry in entries:
        assert list(entry.model_version_policy.specific.versions) == [7]
        assert dict(entry.version_labels) == {"stable": 7, "eu-1": 7}


def test_without_labels_there_is_no_file_of_them(tmp_path: Path) -> None:
    write_server_configs(tmp_path, ExportConfig(version_labels=()))
    assert {path.name for path in tmp_path.iterdir()} == {
        "models.config", "batching.config", "monitoring.config", "server.env", "server.flags",
    }  # fmt: skip


def test_batching_numbers_are_wrapped_and_end_at_the_largest_size() -> None:
    sizes = {"batch_sizes": (1, 3, 9), "batch_timeout_us": 250}
    text = batching_config(ExportConfig(**sizes, pad_batches=True))
    assert "max_batch_size { value: 9 }" in text
    assert "batch_timeout_micros { value: 250 }" in text
    assert re.findall(r"^allowed_batch_sizes: (\d+)$", text, re.M) == ["1", "3", "9"]
    assert "pad_variable_length_inputs: true" in text
    plain = re.findall(r"^(\w+): \d+$", text, re.M)
    assert set(plain) == {"allowed_batch_sizes"}  # the one repeated int64 of that message
    assert batching_config(ExportConfig(**sizes)) == re.sub("allowed_batch_sizes.*\n", "", text)


def test_batch_threads_are_the_servers_own_unless_they_are_set() -> None:
    assert "num_batch_threads" not in batching_config(ExportConfig())
    assert "num_batch_threads { value: 2 }\n" in batching_config(ExportConfig(batch_threads=2))


def test_monitoring_is_on() -> None:
    assert 'path: "/monitoring/prometheus/metrics"' in monitoring_config()
    assert "enable: true" in monitoring_config()


def test_a_bundle_renders_its_own_paths(bundle) -> None:
    for model in MODELS:
        assert f'base_path: "{bundle.path}/serving/{model}"' in bundle.models_config()
