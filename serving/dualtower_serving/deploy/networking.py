"""The Kubernetes objects between servers and callers: two Services and a NetworkPolicy."""

from __future__ import annotations

from typing import Any

from dualtower_serving.deploy.pod import GRPC_PORT, REST_PORT
from dualtower_serving.deploy.settings import Settings
from dualtower_serving.deploy.workload import selector

__all__ = ["CLIENT_LABEL", "headless_service", "network_policy", "service"]

CLIENT_LABEL = "dualtower/client"
_CLEARTEXT_HTTP2 = "kubernetes.io/h2c"


def service(settings: Settings) -> dict[str, Any]:
    """One address, for REST, for scraping, and for clients that do not balance."""
    ports = [
        {"name": "grpc", "port": GRPC_PORT, "targetPort": "grpc", "appProtocol": _CLEARTEXT_HTTP2},
        {"name": "http", "port": REST_PORT, "targetPort": "http", "appProtocol": "http"},
    ]
    return _service(settings, settings.name, {"type": "ClusterIP", "ports": ports}, role="all")


def headless_service(settings: Settings) -> dict[str, Any]:
    """The addresses of the ready pods, for clients that balance calls over them (round_robin)."""
    ports = [{"name": "grpc", "port": GRPC_PORT, "targetPort": "grpc"}]
    spec = {"clusterIP": "None", "publishNotReadyAddresses": False, "ports": ports}
    return _service(settings, f"{settings.name}-headless", spec, role="headless")


def _service(settings: Settings, name: str, spec: dict[str, Any], *, role: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {**selector(settings), "dualtower/service": role}},
        "spec": {"selector": selector(settings), **spec},
    }


def network_policy(settings: Settings) -> dict[str, Any]:
    """Calls from labelled pods of the namespace, scrapes from Prometheus's; nothing goes out."""
    clients = {"podSelector": {"matchLabels": {CLIENT_LABEL: "true"}}}
    namespace = {"kubernetes.io/metadata.name": settings.monitoring_namespace}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": settings.name, "labels": selector(settings)},
        "spec": {
            "podSelector": {"matchLabels": selector(settings)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {
                    "from": [clients],
                    "ports": [
                        {"protocol": "TCP", "port": "grpc"}, {"protocol": "TCP", "port": "http"},
                    ],
                },
                {
                    "from": [{"namespaceSelector": {"matchLabels": namespace}}],
                    "ports": [{"protocol": "TCP", "port": "http"}],
                },
            ],
            "egress": [],
        },
    }  # fmt: skip
