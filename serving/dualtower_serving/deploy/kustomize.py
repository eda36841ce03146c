"""The kustomization files that tie the folders together.

server/                   a ConfigMap of the server's files; its name carries their hash
kubernetes/base           server/ and the objects
monitoring/               a component: what the Prometheus operator and Grafana read
kubernetes/overlays/cpu   base and monitoring        kubernetes/overlays/gpu   and the GPU patch
kserve/                   server/ and the InferenceService, instead of base
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dualtower_serving.deploy.settings import Settings
from dualtower_serving.deploy.workload import config_map_name, selector

__all__ = ["base", "kserve", "kserve_references", "monitoring", "overlay", "server"]

_API = "kustomize.config.k8s.io/"


def server(settings: Settings, names: Iterable[str]) -> dict[str, Any]:
    """The ConfigMap with these files."""
    generator = {"name": config_map_name(settings), "files": list(names)}
    return _kustomization(
        settings,
        configMapGenerator=[generator],
        generatorOptions={"labels": selector(settings), "immutable": True},
    )


def base(settings: Settings, names: Iterable[str]) -> dict[str, Any]:
    """The objects in these files, and the ConfigMap."""
    return _kustomization(settings, resources=["../../server", *names])


def overlay(settings: Settings, *, patches: Iterable[str] = ()) -> dict[str, Any]:
    """Base, what watches it, and patches of it."""
    fields: dict[str, Any] = {"resources": ["../../base"], "components": ["../../../monitoring"]}
    if paths := [{"path": name} for name in patches]:
        fields["patches"] = paths
    return _kustomization(settings, **fields)


def monitoring(settings: Settings, names: Iterable[str], *, dashboard: str) -> dict[str, Any]:
    """The component; Grafana's sidecar finds the dashboard by its label."""
    generator = {
        "name": f"{settings.name}-dashboard",
        "files": [dashboard],
        "options": {
            "disableNameSuffixHash": True,
            "labels": {**selector(settings), "grafana_dashboard": "1"},
        },
    }
    return {
        "apiVersion": f"{_API}v1alpha1",
        "kind": "Component",
        "resources": list(names),
        "configMapGenerator": [generator],
    }


def kserve(settings: Settings, names: Iterable[str], *, references: str) -> dict[str, Any]:
    """The InferenceService and what it mounts."""
    return _kustomization(settings, resources=["../server", *names], configurations=[references])


def kserve_references() -> dict[str, Any]:
    """Where an InferenceService names a ConfigMap, which kustomize does not know by itself."""
    place = {"path": "spec/predictor/volumes/configMap/name", "kind": "InferenceService"}
    return {"nameReference": [{"kind": "ConfigMap", "version": "v1", "fieldSpecs": [place]}]}


def _kustomization(settings: Settings, **fields: Any) -> dict[str, Any]:
    head: dict[str, Any] = {"apiVersion": f"{_API}v1beta1", "kind": "Kustomization"}
    if settings.namespace:
        head["namespace"] = settings.namespace
    return {**head, **fields}
