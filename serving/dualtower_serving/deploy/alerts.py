"""Alert rules: a mixed pair, late answers, failing calls, and what leads to them."""

from __future__ import annotations

from typing import Any

from dualtower_serving.deploy import queries
from dualtower_serving.deploy.settings import Settings
from dualtower_serving.deploy.workload import selector

__all__ = ["alert_groups", "prometheus_rule"]


def alert_groups(settings: Settings) -> list[dict[str, Any]]:
    """The `groups` of a rule file."""
    of = f'job="{settings.name}"'
    p99 = f"{settings.p99_ms:g}"
    rules = [
        _rule(
            "DualtowerPairMismatch", "critical", queries.mixed_pairs(of), "5m",
            "A mixed pair at {{ $labels.instance }}",
            "Version {{ $labels.version }} was loaded by {{ $value }} of the three models. The "
            "readiness probe keeps the pod out of the Services while no version is common to all. "
            "Ask `dualtower status ADDRESS`; a version that failed is named in the server's log.",
        ),
        _rule(
            "DualtowerLoadFailed", "warning", queries.failed_loads(of), "0m",
            "{{ $labels.model_path }} did not load at {{ $labels.instance }}",
            "The version before it serves on, if there is one. The reason is in the server's log "
            "and in `dualtower status ADDRESS`.",
        ),
        _rule(
            "DualtowerLatencyHigh", "warning", f"{queries.latency_ms(of, 0.99)} > {p99}", "10m",
            f"p99 of {{{{ $labels.model_name }}}} is above {p99} ms",
            "It is {{ $value | humanize }} ms. Compare the wait for a batch on the dashboard: if "
            "that grew, servers are short; if the run itself did, look at the nodes.",
        ),
        _rule(
            "DualtowerErrorsHigh", "critical",
            f"{queries.server_errors(of)} > {settings.error_ratio:g}", "5m",
            "{{ $value | humanizePercentage }} of the calls of {{ $labels.model_name }} fail",
            "Counted are codes that are the server's own, not the callers' mistakes.",
        ),
        _rule(
            "DualtowerCallsRefused", "warning", f"{queries.refused(of)} > 0", "5m",
            "Calls of {{ $labels.model_name }} are refused",
            "The queue of batches or the gRPC threads are full, {{ $value | humanize }} times a "
            "second: raise --max-replicas of `dualtower deploy`, or --cpus.",
        ),
        _rule(
            "DualtowerServerDown", "critical", f"up{{{of}}} == 0", "2m",
            "{{ $labels.instance }} cannot be scraped",
            "It is starting, gone, or its REST port does not answer.",
        ),
        _rule(
            "DualtowerNoServer", "critical", f"absent(up{{{of}}})", "5m",
            f"No server of {settings.name} is known to Prometheus",
            "None runs, or the ServiceMonitor or the NetworkPolicy does not fit the cluster.",
        ),
    ]  # fmt: skip
    if settings.models == "image":  # a server loads one version, once
        rules.insert(
            1,
            _rule(
                "DualtowerVersionsDiffer", "warning", f"{queries.versions_loaded(of)} > 1", "30m",
                "Servers answer from {{ $value }} versions",
                "A rolling update does not end: see `kubectl rollout status "
                f"deployment/{settings.name}`. Clients that hold vectors should hold them to the "
                "fingerprint.",
            ),
        )  # fmt: skip
    return [{"name": settings.name, "rules": rules}]


def prometheus_rule(settings: Settings) -> dict[str, Any]:
    """The same for the Prometheus operator."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": settings.name, "labels": selector(settings)},
        "spec": {"groups": alert_groups(settings)},
    }


def _rule(
    alert: str, severity: str, expr: str, lasts: str, summary: str, description: str
) -> dict[str, Any]:
    return {
        "alert": alert,
        "expr": expr,
        "for": lasts,
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "description": description},
    }
