"""A `--model_config_file` of TensorFlow Serving for the three models of a pair."""

from __future__ import annotations

from collections.abc import Sequence

from dualtower.bundle import MODELS

__all__ = ["VERSION_POLICIES", "model_entries"]

VERSION_POLICIES = ("latest", "specific")


def model_entries(root: str, *, policy: str, version: int, labels: Sequence[str] = ()) -> str:
    """A `--model_config_file`: all models of the pair.

    Args:
        root: where the models lie, a folder or URL.
        policy: one of VERSION_POLICIES.
        version: what `specific` serves, and what a label points to.
        labels: names for the version. A server that starts with some refuses them all, unless it
            has `--allow_version_labels_for_unavailable_models`: it reads labels before it loads.
    """
    chosen = {
        "latest": "latest { num_versions: 1 }",
        "specific": f"specific {{ versions: {version} }}",
    }[policy]
    named = "".join(
        f'    version_labels {{ key: "{label}" value: {version} }}\n' for label in labels
    )
    entries = "".join(
        f"""  config {{
    name: "{model}"
    base_path: "{root}/{model}"
    model_platform: "tensorflow"
    model_version_policy {{ {chosen} }}
{named}  }}
"""
        for model in MODELS
    )
    return f"model_config_list {{\n{entries}}}\n"
