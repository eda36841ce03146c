"""All files of a deployment, as texts."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtower.bundle import Bundle
from dualtower_serving.deploy import (
    alerts,
    kserve,
    kustomize,
    networking,
    scraping,
    workload,
)  # fmt: skip
from dualtower_serving.deploy.compose import compose
from dualtower_serving.deploy.dashboard import dashboard
from dualtower_serving.deploy.dockerfile import SUMS, dockerfile, sums
from dualtower_serving.deploy.image_check import check_image
from dualtower_serving.deploy.pod import Pod, pod_of
from dualtower_serving.deploy.readme import readme
from dualtower_serving.deploy.settings import Settings
from dualtower_serving.deploy.yaml_text import yaml_text

__all__ = ["RECORD", "Deployment", "deployment"]

RECORD = "deploy.json"  # what it was written from, and the hash of each file


@dataclass(frozen=True)
class Deployment:
    """What `dualtower deploy` writes.

    Attributes:
        files: text by path, RECORD included.
        check: why the image can serve the bundle.
        pod: the container.
    """

    files: Mapping[str, str]
    check: str
    pod: Pod


def deployment(bundle: Bundle, settings: Settings, *, out: Path) -> Deployment:
    """Makes the files; writes nothing.

    Args:
        bundle: what is served.
        settings: what is asked.
        out: where they will lie, from which they name the bundle.

    Raises:
        UsageError: the image cannot serve the bundle.
        BundleError: the bundle lacks what a container is started by.
    """
    check = check_image(bundle, settings.server_tensorflow, image=str(settings.server_image))
    pod = pod_of(bundle, settings)
    bundle_path = Path(os.path.relpath(bundle.path, out.resolve())).as_posix()
    files = {
        "README.md": readme(pod, settings, bundle_path=bundle_path, check=check),
        "compose.yaml": compose(pod, settings, bundle_path=bundle_path),
        **_images(pod, settings),
        **_server(bundle, pod, settings),
        **_kubernetes(pod, settings),
        **_kserve(pod, settings),
        **_monitoring(pod, settings),
    }
    files = dict(sorted(files.items()))
    files[RECORD] = _record(files, pod, settings, check)
    return Deployment(files, check, pod)


def _images(pod: Pod, settings: Settings) -> dict[str, str]:
    if settings.models != "image":
        return {}
    tensorflow = settings.server_tensorflow
    files = {
        "Dockerfile": dockerfile(pod, pod.image, pod.base, tensorflow=tensorflow),
        ".dockerignore": "*\n!server\n",
    }
    if pod.gpu_image is not None and pod.gpu_base is not None:
        files["Dockerfile.gpu"] = dockerfile(
            pod, pod.gpu_image, pod.gpu_base, tensorflow=tensorflow
        )
    return files


def _server(bundle: Bundle, pod: Pod, settings: Settings) -> dict[str, str]:
    names = list(pod.files)
    return {
        **{f"server/{name}": text for name, text in pod.files.items()},
        **({f"server/{SUMS}": sums(bundle)} if settings.models == "image" else {}),
        "server/kustomization.yaml": yaml_text(kustomize.server(settings, names)),
    }


def _kubernetes(pod: Pod, settings: Settings) -> dict[str, str]:
    base = {
        "service-account.yaml": workload.service_account(settings),
        "deployment.yaml": workload.deployment(pod, settings),
        "service.yaml": networking.service(settings),
        "service-headless.yaml": networking.headless_service(settings),
        "autoscaler.yaml": workload.autoscaler(settings),
        "disruption-budget.yaml": workload.disruption_budget(settings),
        "network-policy.yaml": networking.network_policy(settings),
    }
    if settings.models == "volume":
        base["volume.yaml"] = workload.volume_claim(pod, settings)
    base["kustomization.yaml"] = kustomize.base(settings, list(base))
    files = _below("kubernetes/base", base)
    files |= _below("kubernetes/overlays/cpu", {"kustomization.yaml": kustomize.overlay(settings)})
    if pod.gpu_image is not None:
        files |= _below(
            "kubernetes/overlays/gpu",
            {
                "deployment.yaml": workload.gpu_patch(pod, settings),
                "kustomization.yaml": kustomize.overlay(settings, patches=["deployment.yaml"]),
            },
        )
    return files


def _kserve(pod: Pod, settings: Settings) -> dict[str, str]:
    objects = {
        "service-account.yaml": workload.service_account(settings),
        "inference-service.yaml": kserve.inference_service(pod, settings),
    }
    if settings.models == "volume":
        objects["volume.yaml"] = workload.volume_claim(pod, settings)
    references = "name-references.yaml"
    made = kustomize.kserve(settings, list(objects), references=references)
    return _below(
        "kserve",
        {**objects, references: kustomize.kserve_references(), "kustomization.yaml": made},
    )


def _monitoring(pod: Pod, settings: Settings) -> dict[str, str]:
    objects = {
        "service-monitor.yaml": scraping.service_monitor(pod, settings),
        "prometheus-rule.yaml": alerts.prometheus_rule(settings),
    }
    component = kustomize.monitoring(settings, list(objects), dashboard="dashboard.json")
    files = _below("monitoring", {**objects, "kustomization.yaml": component})
    plain = {
        "alerts.yaml": ({"groups": alerts.alert_groups(settings)}, "promtool check rules"),
        "prometheus.yaml": (scraping.prometheus_config(pod, settings), "promtool check config"),
    }
    for name, (document, command) in plain.items():
        files[f"monitoring/{name}"] = yaml_text(document, why=[f"{command} {name}"])
    files["monitoring/prometheus-adapter.values.yaml"] = yaml_text(
        scraping.adapter_values(settings), why=["Values of the chart prometheus-adapter."]
    )
    files["monitoring/dashboard.json"] = dashboard(settings)
    return files


def _below(folder: str, documents: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    return {f"{folder}/{name}": yaml_text(document) for name, document in documents.items()}


def _record(files: Mapping[str, str], pod: Pod, settings: Settings, check: str) -> str:
    record = {
        "bundle": {"version": pod.version, "fingerprint": pod.fingerprint},
        "image": str(pod.base),
        "tensorflow": {"version": settings.server_tensorflow, "check": check},
        "models": settings.models,
        "files": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()},
    }
    return json.dumps(record, indent=2) + "\n"
