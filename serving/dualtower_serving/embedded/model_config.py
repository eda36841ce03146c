"""The configuration of a model server: `models.config`, or one model from the flags.

Messages are TensorFlow Serving's own where it has one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from google.protobuf import text_format

from dualtower_clients.proto import management_pb2
from dualtower_serving.embedded.status import Code, StatusError
from dualtower_serving.embedded.versions import VersionPolicy, policy_of

__all__ = [
    "ModelSettings",
    "check_base_paths",
    "check_changes",
    "check_platforms",
    "of_one_model",
    "read_file",
    "settings_of",
]

PLATFORM = "tensorflow"


@dataclass(frozen=True)
class ModelSettings:
    """What is configured for one model."""

    name: str
    base_path: str
    platform: str
    policy: VersionPolicy
    labels: Mapping[str, int]


def read_file(path: str) -> management_pb2.ModelServerConfig:
    """The configuration in a text file of protobuf's text format.

    Raises:
        StatusError: the file cannot be read or parsed.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            return text_format.Parse(stream.read(), management_pb2.ModelServerConfig())
    except OSError as error:
        raise StatusError(
            Code.NOT_FOUND, f"cannot read the model config file {path}: {error.strerror}"
        ) from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise StatusError(
            Code.INVALID_ARGUMENT, f"Invalid protobuf file: '{path}': {error}"
        ) from error


def of_one_model(name: str, base_path: str) -> management_pb2.ModelServerConfig:
    """The configuration that --model_name and --model_base_path stand for."""
    config = management_pb2.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=PLATFORM)
    return config


def settings_of(config: management_pb2.ModelServerConfig) -> dict[str, ModelSettings]:
    """The models of a configuration by name, in its order.

    Platforms are checked apart, by `check_platforms`: a server looks at labels first.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise StatusError(
            Code.INVALID_ARGUMENT,
            "ServerModelConfig type not supported by HandleReloadConfigRequest. "
            "Only ModelConfigList is currently supported",
        )
    listed = config.model_config_list.config
    _check_list(listed)
    return {
        one.name: ModelSettings(
            one.name,
            one.base_path,
            _platform_of(one),
            policy_of(one.model_version_policy),
            dict(one.version_labels),
        )
        for one in listed
    }


def check_platforms(models: Mapping[str, ModelSettings]) -> None:
    """Refuses models of a platform that is not TensorFlow."""
    for model in models.values():
        if model.platform != PLATFORM:
            raise StatusError(
                Code.INVALID_ARGUMENT,
                f"Model {model.name} requests unsupported platform {model.platform}",
            )


def check_changes(new: Mapping[str, ModelSettings], old: Mapping[str, ModelSettings]) -> None:
    """Refuses another platform for a model that stays."""
    for name, model in new.items():
        if name in old and old[name].platform != model.platform:
            raise StatusError(
                Code.INVALID_ARGUMENT,
                f"Illegal to change a model's platform. For model {name} platform was "
                f"{old[name].platform} and new platform requested is {model.platform}",
            )


def check_base_paths(new: Mapping[str, ModelSettings], old: Mapping[str, ModelSettings]) -> None:
    """Refuses a base path that is new and does not exist: it would be waited for without end."""
    for name, model in new.items():
        changed = name not in old or old[name].base_path != model.base_path
        if changed and not os.path.isdir(model.base_path):
            raise StatusError(
                Code.NOT_FOUND,
                f"Could not find base path {model.base_path} for servable {name}",
            )


def _check_list(listed: Sequence[management_pb2.ModelConfig]) -> None:
    names: set[str] = set()
    for one in listed:
        if one.name in names:
            raise StatusError(
                Code.INVALID_ARGUMENT,
                f"Illegal to list model {one.name} multiple times in config list",
            )
        names.add(one.name)
    for one in listed:
        if not os.path.isabs(one.base_path):
            raise StatusError(
                Code.INVALID_ARGUMENT,
                f"Expected model {one.name} to have an absolute path or URI; "
                f"got base_path()={one.base_path}",
            )
        if one.HasField("logging_config"):
            raise StatusError(Code.INVALID_ARGUMENT, "No request-logger-creator provided.")


def _platform_of(config: management_pb2.ModelConfig) -> str:
    typed = config.model_type != management_pb2.MODEL_TYPE_UNSPECIFIED
    if typed == bool(config.model_platform):
        raise StatusError(
            Code.INVALID_ARGUMENT,
            f"Illegal setting {'both' if typed else 'neither'} "
            f"ModelServerConfig::model_type (deprecated) {'and' if typed else 'nor'} "
            f"ModelServerConfig::model_platform, model name is {config.name}",
        )
    if not typed:
        return config.model_platform
    return PLATFORM if config.model_type == management_pb2.TENSORFLOW else "other"
