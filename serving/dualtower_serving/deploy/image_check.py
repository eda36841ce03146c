"""Can the TensorFlow of an image load this bundle?

A server reads what an older TensorFlow wrote; the other way round is nobody's promise. What holds
there is the gate of the export: every op and attribute of the three models against the lists of the
stock servers, whose result is in the manifest (`... in stock servers 2.20.0, 2.21.0`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dualtower.bundle import MODELS, Bundle
from dualtower.errors import BundleError, UsageError

__all__ = ["check_image"]

_VERSION = re.compile(r"(\d+)\.(\d+)\.\d+\S*")
_FITTING = re.compile(r"in stock servers ([\d., ]+)")


def check_image(bundle: Bundle, tensorflow: str, *, image: str) -> str:
    """Says why an image with this TensorFlow can serve the bundle.

    Args:
        bundle: what is served.
        tensorflow: version of the image's TensorFlow, such as 2.20.0.
        image: its name, for the error.

    Raises:
        BundleError: the manifest does not say which TensorFlow wrote the models.
        UsageError: the image is too old for the bundle.
    """
    manifest = bundle.manifest
    wrote = str(_at(manifest, "versions").get("tensorflow", ""))
    if not _VERSION.fullmatch(wrote):
        raise BundleError(
            f"{bundle.path} does not say which TensorFlow wrote it (versions.tensorflow), so that "
            "no image can be checked against it; export it again"
        )
    if not _VERSION.fullmatch(tensorflow):
        raise UsageError(f"a version of TensorFlow is written 2.20.0, got {tensorflow!r}")
    if _minor(tensorflow) >= _minor(wrote):
        return f"TensorFlow {tensorflow} reads what {wrote} wrote"
    config = _at(manifest, "config")
    if config.get("force_newer") and config.get("target_serving") == tensorflow:
        return (
            f"exported by TensorFlow {wrote} for {tensorflow} on purpose "
            "(export.target_serving, --force-newer)"
        )
    fitting = _fitting(manifest)
    if tensorflow in fitting:
        return (
            f"older than the TensorFlow {wrote} that wrote the models; every op and attribute of "
            f"them is in the stock server {tensorflow}, by the gates of the export"
        )
    raise UsageError(
        f"{image} has TensorFlow {tensorflow}, but {wrote} wrote this bundle, and its models are "
        f"known to load in {', '.join(fitting) or 'no older server'}. Name a newer image "
        f"(--image tensorflow/serving:{max((wrote, *fitting), key=_minor)}), or export for this "
        f"one: dualtower export RUN --set export.target_serving={tensorflow} --force-newer"
    )


def _at(manifest: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = manifest.get(key)
    return value if isinstance(value, Mapping) else {}


def _fitting(manifest: Mapping[str, Any]) -> list[str]:
    """The older servers that have every op of all three models."""
    gates = {str(gate.get("name")): gate for gate in manifest.get("gates", ())}
    lists = []
    for model in MODELS:
        gate = gates.get(f"ops/{model}", {})
        found = _FITTING.search(str(gate.get("detail", "")))
        listed = re.findall(r"\d+\.\d+\.\d+", found[1]) if found and gate.get("passed") else []
        lists.append(set(listed))
    return sorted(set.intersection(*lists), key=_minor)


def _minor(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
