"""How Prometheus finds the servers, and how its numbers reach the autoscaler."""

from __future__ import annotations

from typing import Any

from dualtower_serving.deploy.pod import REST_PORT, Pod
from dualtower_serving.deploy.queries import CALLS_IN_FLIGHT, LATENCY
from dualtower_serving.deploy.settings import Settings
from dualtower_serving.deploy.workload import selector

__all__ = ["adapter_values", "prometheus_config", "service_monitor"]

_INTERVAL = "15s"


def service_monitor(pod: Pod, settings: Settings) -> dict[str, Any]:
    """For the Prometheus operator. The job is the Service's name, by which the alerts ask."""
    endpoint = {"port": "http", "path": pod.metrics_path, "interval": _INTERVAL,
                "scrapeTimeout": "10s", "honorLabels": False}  # fmt: skip
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": {"name": settings.name, "labels": selector(settings)},
        "spec": {
            "selector": {"matchLabels": {**selector(settings), "dualtower/service": "all"}},
            "endpoints": [endpoint],
        },
    }


def prometheus_config(pod: Pod, settings: Settings) -> dict[str, Any]:
    """For a Prometheus without Kubernetes, beside the Compose file."""
    return {
        "global": {"scrape_interval": _INTERVAL, "evaluation_interval": _INTERVAL},
        "rule_files": ["alerts.yaml"],
        "scrape_configs": [
            {
                "job_name": settings.name,
                "metrics_path": pod.metrics_path,
                "static_configs": [{"targets": [f"localhost:{REST_PORT}"]}],
            }
        ],
    }


def adapter_values(settings: Settings) -> dict[str, Any]:
    """Values of the prometheus-adapter chart: calls in flight of a pod as a custom metric."""
    series = f'{LATENCY}_sum{{job="{settings.name}",namespace!="",pod!=""}}'
    query = f"sum by (<<.GroupBy>>) (rate({LATENCY}_sum{{<<.LabelMatchers>>}}[2m])) / 1e6"
    return {
        "rules": {
            "custom": [
                {
                    "seriesQuery": series,
                    "resources": {
                        "overrides": {
                            "namespace": {"resource": "namespace"}, "pod": {"resource": "pod"},
                        }
                    },
                    "name": {"as": CALLS_IN_FLIGHT},
                    "metricsQuery": query,
                }
            ]
        }
    }  # fmt: skip
