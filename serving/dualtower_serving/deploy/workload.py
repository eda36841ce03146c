"""The Kubernetes objects that run servers: Deployment, scaling, disruption, volume, account."""

from __future__ import annotations

from typing import Any

from dualtower.bundle import CONTAINER_ROOT
from dualtower_serving.deploy.pod import (
    CONFIG_ROOT,
    DRAIN_S,
    GRPC_PORT,
    PROGRAM,
    REST_PORT,
    STOP_S,
    USER_ID,
    Pod,
)  # fmt: skip
from dualtower_serving.deploy.queries import CALLS_IN_FLIGHT
from dualtower_serving.deploy.settings import Settings

__all__ = [
    "CONTAINER", "autoscaler", "config_map_name", "container", "deployment", "disruption_budget",
    "gpu_patch", "pod_labels", "pod_spec", "selector", "service_account", "volume_claim",
]  # fmt: skip

CONTAINER = "model-server"
_GPU = "nvidia.com/gpu"
_EPHEMERAL = "256Mi"  # logs and /tmp


def selector(settings: Settings) -> dict[str, str]:
    """The labels by which everything finds the pods; they never change."""
    return {
        "app.kubernetes.io/name": settings.name,
        "app.kubernetes.io/component": CONTAINER,
    }


def pod_labels(pod: Pod, settings: Settings) -> dict[str, str]:
    """Those of the selector, and what runs."""
    return {
        **selector(settings),
        "app.kubernetes.io/version": str(pod.version),
        "dualtower/fingerprint": pod.fingerprint[:12],
    }


def config_map_name(settings: Settings) -> str:
    """Before kustomize appends a hash of the content, which rolls the pods when it changes."""
    return f"{settings.name}-server"


def deployment(pod: Pod, settings: Settings) -> dict[str, Any]:
    """It names no number of replicas: that is the autoscaler's, and an apply would reset it."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": settings.name, "labels": pod_labels(pod, settings)},
        "spec": {
            "revisionHistoryLimit": 5,
            "minReadySeconds": 5,
            "progressDeadlineSeconds": pod.needs.start_s + 300,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "selector": {"matchLabels": selector(settings)},
            "template": {
                "metadata": {
                    "labels": pod_labels(pod, settings),
                    "annotations": {"kubectl.kubernetes.io/default-container": CONTAINER},
                },
                "spec": pod_spec(pod, settings),
            },
        },
    }


def pod_spec(pod: Pod, settings: Settings) -> dict[str, Any]:
    """Of the template: one hardened container, spread over nodes and zones."""
    spread = [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector(settings)},
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    ]
    volumes: list[dict[str, Any]] = [
        {"name": "server", "configMap": {"name": config_map_name(settings)}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
    ]
    if settings.models == "volume":
        claim = {"claimName": f"{settings.name}-models", "readOnly": True}
        volumes.append({"name": "models", "persistentVolumeClaim": claim})
    return {
        "serviceAccountName": settings.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": STOP_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": spread,
        "containers": [container(pod, settings)],
        "volumes": volumes,
    }


def container(pod: Pod, settings: Settings, *, name: str = CONTAINER) -> dict[str, Any]:
    """The model server, ready by the state of its models."""
    mounts: list[dict[str, Any]] = [
        {"name": "server", "mountPath": CONFIG_ROOT, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    if settings.models == "volume":
        mounts.append({"name": "models", "mountPath": CONTAINER_ROOT, "readOnly": True})
    ready, live = ({"exec": {"command": pod.probe(mode)}} for mode in ("ready", "live"))
    return {
        "name": name,
        "image": str(pod.image),
        "imagePullPolicy": "IfNotPresent",
        "command": [PROGRAM],
        "args": list(pod.flags),
        "env": [{"name": key, "value": value} for key, value in pod.environment.items()],
        "ports": [
            {"name": "grpc", "containerPort": GRPC_PORT},
            {"name": "http", "containerPort": REST_PORT},
        ],
        "startupProbe": {
            **ready,
            "periodSeconds": 5,
            "timeoutSeconds": 10,
            "failureThreshold": pod.needs.start_s // 5,
        },
        "readinessProbe": {
            **ready,
            "periodSeconds": 5,
            "timeoutSeconds": 10,
            "failureThreshold": 2,
        },
        # slow to judge: a server under load answers late, and a restart would make it worse
        "livenessProbe": {**live, "periodSeconds": 15, "timeoutSeconds": 10, "failureThreshold": 6},
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/sleep", str(DRAIN_S)]}}},
        "resources": _resources(pod, settings),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _resources(pod: Pod, settings: Settings) -> dict[str, Any]:
    """Requests are limits, so that the pod is Guaranteed and the last to be evicted."""
    amounts = {
        "cpu": str(settings.cpus),
        "memory": f"{pod.needs.memory_mib}Mi",
        "ephemeral-storage": _EPHEMERAL,
    }
    return {"requests": dict(amounts), "limits": dict(amounts)}


def gpu_patch(pod: Pod, settings: Settings) -> dict[str, Any]:
    """What the GPU overlay changes, as a strategic merge patch of the Deployment."""
    gpus = {_GPU: str(settings.gpus)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": settings.name},
        "spec": {
            "template": {
                "spec": {
                    "nodeSelector": {
                        "kubernetes.io/arch": "amd64",
                        "nvidia.com/gpu.present": "true",
                    },
                    "tolerations": [{"key": _GPU, "operator": "Exists", "effect": "NoSchedule"}],
                    "containers": [
                        {
                            "name": CONTAINER,
                            "image": str(pod.gpu_image),
                            "env": [{"name": "CUDA_CACHE_PATH", "value": "/tmp/.nv"}],
                            "resources": {"requests": gpus, "limits": gpus},
                        }
                    ],
                }
            }
        },
    }


def autoscaler(settings: Settings) -> dict[str, Any]:
    """Scales by the calls being answered at a time, and by the cores where that is not known."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": settings.name, "labels": selector(settings)},
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1", "kind": "Deployment", "name": settings.name,
            },
            "minReplicas": settings.min_replicas,
            "maxReplicas": settings.max_replicas,
            "metrics": [
                {
                    "type": "Pods",
                    "pods": {
                        "metric": {"name": CALLS_IN_FLIGHT},
                        "target": {"type": "AverageValue", "averageValue": str(settings.full_at)},
                    },
                },
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {"type": "Utilization", "averageUtilization": 80},
                    },
                },
            ],
            "behavior": {
                "scaleUp": {
                    "stabilizationWindowSeconds": 30,
                    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 60}],
                },
                "scaleDown": {
                    "stabilizationWindowSeconds": 300,
                    "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
                },
            },
        },
    }  # fmt: skip


def disruption_budget(settings: Settings) -> dict[str, Any]:
    """One pod at a time is drained, and one that is not ready may always go."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": settings.name, "labels": selector(settings)},
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selector(settings)},
        },
    }


def service_account(settings: Settings) -> dict[str, Any]:
    """Without a token: the server asks Kubernetes for nothing."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": settings.name, "labels": selector(settings)},
        "automountServiceAccountToken": False,
    }


def volume_claim(pod: Pod, settings: Settings) -> dict[str, Any]:
    """Where versions are pushed to; read by all pods, written by whoever rolls out."""
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": f"{pod.needs.volume_gib}Gi"}},
    }
    if settings.storage_class:
        spec["storageClassName"] = settings.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": f"{settings.name}-models", "labels": selector(settings)},
        "spec": spec,
    }
