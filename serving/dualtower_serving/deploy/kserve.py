"""A KServe InferenceService with the pair in one container.

KServe's own TensorFlow runtime serves a single model folder; the pair needs the server's model
configuration, so the predictor is a container of ours.
"""

from __future__ import annotations

from typing import Any

from dualtower_serving.deploy.pod import Pod
from dualtower_serving.deploy.settings import Settings
from dualtower_serving.deploy.workload import container, pod_labels, pod_spec

__all__ = ["inference_service"]

_CONTAINER = "kserve-container"  # the name by which KServe knows the predictor


def inference_service(pod: Pod, settings: Settings) -> dict[str, Any]:
    """Without Knative: that has one port, and the pair is asked over gRPC and REST."""
    spec = pod_spec(pod, settings)
    one = container(pod, settings, name=_CONTAINER)
    one["ports"] = [dict(port) for port in reversed(one["ports"])]  # the first is what is routed to
    spec["containers"] = [one]
    spec.pop("topologySpreadConstraints")  # they select pods by labels that KServe chooses
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": settings.name,
            "labels": pod_labels(pod, settings),
            "annotations": {"serving.kserve.io/deploymentMode": "RawDeployment"},
        },
        "spec": {
            "predictor": {
                "minReplicas": settings.min_replicas,
                "maxReplicas": settings.max_replicas,
                "scaleMetric": "cpu",
                "scaleTarget": 80,
                **spec,
            }
        },
    }
