"""What a step leaves behind for servers that start: the files for their --model_config_file."""

from __future__ import annotations

from dualtower.files import write_text
from dualtower_serving.rollout.served_config import as_text, served_config
from dualtower_serving.rollout.state import State
from dualtower_serving.rollout.target import Target

__all__ = ["write_configs"]

_LABELLED = """\
# Written by `dualtower rollout`; what the servers hold. A server that starts with labels needs
# --allow_version_labels_for_unavailable_models. One without that flag: models-unlabelled.config,
# then `dualtower rollout sync`.
"""
_UNLABELLED = """\
# Written by `dualtower rollout`, for servers that take no labels at their start, which is without
# --allow_version_labels_for_unavailable_models.
# It has no labels: run `dualtower rollout sync` when it is up, and do not let it poll this file.
"""


def write_configs(target: Target, state: State) -> None:
    """Replaces both files, each whole or not at all."""
    write_text(target.config, _LABELLED + as_text(served_config(state)))
    unlabelled = as_text(served_config(state, labels={}))
    write_text(target.unlabelled_config, _UNLABELLED + unlabelled)
