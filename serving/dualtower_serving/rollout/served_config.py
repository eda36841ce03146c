"""The configuration that servers are given: the pair's versions and labels, and other models.

A reload replaces all of a server's configuration, and cannot read it back. So every one that goes
out is complete: the three models of the pair, and whatever else the servers hold, as the operator
has said once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from google.protobuf import text_format

from dualtower.bundle import MODELS
from dualtower.errors import UsageError
from dualtower_clients.proto import management_pb2
from dualtower_serving.rollout.state import State

__all__ = ["Others", "as_text", "read_others", "served_config"]

_PLATFORM = "tensorflow"


class Others:
    """A server's configuration as its operator keeps it, split in what is the pair's and the rest.

    Attributes:
        text: the other models, as `as_text` writes them.
        names: their names.
        labels: the pair's labels, where all three models agree on them.
    """

    def __init__(self, config: management_pb2.ModelServerConfig, where: str) -> None:
        listed = config.model_config_list.config
        ours = [one for one in listed if one.name in MODELS]
        rest = management_pb2.ModelServerConfig()
        rest.model_config_list.SetInParent()
        rest.model_config_list.config.extend(one for one in listed if one.name not in MODELS)
        self.text = as_text(rest)
        self.names = [one.name for one in rest.model_config_list.config]
        kinds = {tuple(sorted(one.version_labels.items())) for one in ours}
        if len(kinds) > 1:
            raise UsageError(
                f"{where} labels the models of the pair differently; give all three the same labels"
            )
        self.labels: Mapping[str, int] = dict(kinds.pop()) if kinds else {}


def read_others(path: Path) -> Others:
    """Reads a `--model_config_file`.

    Raises:
        UsageError: it cannot be read, or holds what could not be carried on.
    """
    try:
        config = text_format.Parse(
            path.read_text(encoding="utf-8"), management_pb2.ModelServerConfig()
        )
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})") from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is no --model_config_file that could be carried on: {error}; give the file "
            "that the servers were started with"
        ) from error
    if config.WhichOneof("config") == "custom_model_config":
        raise UsageError(f"{path} has a custom_model_config; only a model_config_list can be kept")
    return Others(config, str(path))


def served_config(
    state: State,
    *,
    versions: Sequence[int] | None = None,
    labels: Mapping[str, int] | None = None,
) -> management_pb2.ModelServerConfig:
    """The whole configuration of a server.

    Args:
        state: what the servers should hold.
        versions: these versions of the pair, in place of the state's.
        labels: these labels, in place of the state's.
    """
    versions = state.loaded if versions is None else versions
    labels = state.labels if labels is None else labels
    config = management_pb2.ModelServerConfig()
    config.model_config_list.SetInParent()
    if versions:
        for model in MODELS:
            one = config.model_config_list.config.add(
                name=model, base_path=f"{state.root}/{model}", model_platform=_PLATFORM
            )
            one.model_version_policy.specific.versions.extend(sorted(versions))
            for label, version in sorted(labels.items()):
                one.version_labels[label] = version
    if state.others:
        others = text_format.Parse(state.others, management_pb2.ModelServerConfig())
        config.model_config_list.config.extend(others.model_config_list.config)
    return config


def as_text(config: management_pb2.ModelServerConfig) -> str:
    """The text that `--model_config_file` reads."""
    return str(text_format.MessageToString(config))
