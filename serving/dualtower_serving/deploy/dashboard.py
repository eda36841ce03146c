"""A Grafana dashboard over the servers' metrics, as the JSON that Grafana imports."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from dualtower.bundle import MODELS
from dualtower_serving.deploy import queries
from dualtower_serving.deploy.settings import Settings

__all__ = ["dashboard"]

_SCHEMA_VERSION = 39  # Grafana 10.4 and newer read it
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS = 24
_GREEN, _ORANGE, _RED = "green", "orange", "red"


@dataclass(frozen=True)
class _Panel:
    """One panel; `queries` are (PromQL, legend). A width of 24 fills the row."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str
    width: int
    text: str
    height: int = 8
    kind: str = "timeseries"
    limits: tuple[tuple[float, str], ...] = ()
    instant: bool = False


def dashboard(settings: Settings) -> str:
    """The JSON text."""
    of = 'job="$job", instance=~"$instance"'
    panels: list[dict[str, Any]] = []
    y = 0
    for title, rows in _sections(of, settings):
        panels.append(_heading(title, y=y, number=len(panels) + 1))
        y += 1
        for row in rows:
            x = 0
            for panel in row:
                panels.append(_rendered(panel, x=x, y=y, number=len(panels) + 1))
                x += panel.width
            y += max(panel.height for panel in row)
    document = {
        "uid": f"{settings.name}-servers",
        "title": f"{settings.name}: the pair on TensorFlow Serving",
        "description": "Written by dualtower deploy.",
        "tags": ["dualtower", "tensorflow-serving"],
        "schemaVersion": _SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "timezone": "browser",
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "graphTooltip": 1,
        "templating": {"list": _variables(settings)},
        "annotations": {"list": []},
        "links": [],
        "panels": panels,
    }
    return json.dumps(document, indent=2) + "\n"


def _sections(of: str, settings: Settings) -> list[tuple[str, list[list[_Panel]]]]:
    p99 = settings.p99_ms
    errors = settings.error_ratio
    quantiles = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    at_a_glance = [
        _Panel("Servers", ((f"sum(up{{{of}}})", "up"),), "short", 4, "Scraped by Prometheus.",
               4, "stat", ((0, _RED), (1, _GREEN))),
        _Panel("Mixed pairs", ((f"count({queries.mixed_pairs(of)}) or vector(0)", "mixed"),),
               "short", 5, "Versions that some of the three models of a server have loaded and "
               "others not.", 4, "stat", ((0, _GREEN), (1, _RED))),
        _Panel("Calls", ((f"sum({queries.requests_by(of, 'model_name')})", "calls"),), "reqps", 5,
               "Of all models, whatever their outcome.", 4, "stat"),
        _Panel("Failing calls", ((f"max({queries.server_errors(of)})", "worst model"),),
               "percentunit", 5, "Of the worst model; callers' own mistakes are not counted.", 4,
               "stat", ((0, _GREEN), (errors, _RED))),
        _Panel("p99", ((f"max({queries.latency_ms(of, 0.99)})", "slowest model"),), "ms", 5,
               "Of the slowest model.", 4, "stat", ((0, _GREEN), (p99, _RED))),
    ]  # fmt: skip
    calls = [
        _Panel("Calls by model", ((queries.requests_by(of, "model_name"), "{{model_name}}"),),
               "reqps", 8, "Known and unknown names."),
        _Panel("Calls by outcome", ((queries.requests_by(of, "status"), "{{status}}"),),
               "reqps", 8, "gRPC's codes; REST is counted by them too."),
        _Panel("Failing calls by model", ((queries.server_errors(of), "{{model_name}}"),),
               "percentunit", 8, "The alert's measure.", limits=((0, _GREEN), (errors, _RED))),
    ]  # fmt: skip
    latency = [
        _Panel(
            f"Latency of {model}",
            tuple(
                (queries.latency_ms(f'{of}, model_name="{model}"', q), name)
                for q, name in quantiles
            ),
            "ms", 8, "Successful calls, from the first byte to the last.",
            limits=((0, _GREEN), (p99, _RED)),
        )
        for model in MODELS
    ]  # fmt: skip
    where = [
        _Panel("TensorFlow's part, p99",
               ((queries.latency_ms(of, 0.99, runtime=True), "{{model_name}}"),), "ms", 8,
               "The run of the graph, with the wait for a batch."),
        _Panel("Wait for a batch",
               tuple((queries.queued_ms(of, q), name) for q, name in quantiles), "ms", 8,
               "Grows when servers are short."),
        _Panel("Calls in flight by server",
               ((queries.calls_in_flight(of, "instance"), "{{instance}}"),), "short", 8,
               f"What the autoscaler holds at {settings.full_at}.",
               limits=((0, _GREEN), (settings.full_at, _ORANGE))),
    ]  # fmt: skip
    batches = [
        _Panel("Calls a batch", ((queries.requests_a_batch(of), "calls"),), "short", 12,
               "One says that batching brings nothing."),
        _Panel("Refused calls", ((queries.refused(of), "{{model_name}}"),), "reqps", 12,
               "The queue or the threads were full."),
    ]  # fmt: skip
    pair = [
        _Panel("Loaded versions",
               ((queries.loaded_versions(of), "{{instance}} {{model}} {{version}}"),), "short", 12,
               "Since each server started; all three models should show the same.", 9, "table",
               instant=True),
        _Panel("Failed loads", ((queries.failed_loads(of), "{{instance}} {{model_path}}"),),
               "short", 6, "Within 15 minutes.", 9),
        _Panel("Warm-up", ((queries.warm_up_ms(of), "{{model_path}}"),), "ms", 6,
               "Mean of each version's warm-up file.", 9),
    ]  # fmt: skip
    return [
        ("At a glance", [at_a_glance]),
        ("Calls", [calls]),
        ("Latency", [latency, where]),
        ("Batching", [batches]),
        ("The pair", [pair]),
    ]


def _heading(title: str, *, y: int, number: int) -> dict[str, Any]:
    place = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place,
            "panels": []}  # fmt: skip


def _rendered(panel: _Panel, *, x: int, y: int, number: int) -> dict[str, Any]:
    steps = [
        {"color": color, "value": None if place == 0 else value}
        for place, (value, color) in enumerate(panel.limits or ((0, _GREEN),))
    ]
    targets = [
        {
            "refId": chr(ord("A") + place),
            "datasource": _SOURCE,
            "expr": expr,
            "legendFormat": legend,
            "instant": panel.instant or panel.kind == "stat",
            "range": not (panel.instant or panel.kind == "stat"),
            **({"format": "table"} if panel.kind == "table" else {}),
        }
        for place, (expr, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "thresholds": {"mode": "absolute", "steps": steps},
                **_drawing(panel),
            },
            "overrides": [],
        },
        "options": _options(panel),
        "targets": targets,
    }


def _drawing(panel: _Panel) -> dict[str, Any]:
    if panel.kind != "timeseries":
        return {}
    lines = {"lineWidth": 2, "fillOpacity": 8, "showPoints": "never"}
    if panel.limits:
        lines["thresholdsStyle"] = {"mode": "dashed"}  # type: ignore[assignment]
    return {"min": 0, "custom": lines}


def _options(panel: _Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        return {"reduceOptions": reduced, "colorMode": "value", "graphMode": "none"}
    if panel.kind == "table":
        return {"showHeader": True}
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
    return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}


def _variables(settings: Settings) -> list[dict[str, Any]]:
    label = f"label_values({queries.REQUESTS}, job)"
    instance = 'label_values(up{job="$job"}, instance)'
    return [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
         "refresh": 1},
        {"name": "job", "label": "Job", "type": "query", "datasource": _SOURCE, "query": label,
         "definition": label, "refresh": 2,
         "current": {"text": settings.name, "value": settings.name}},
        {"name": "instance", "label": "Server", "type": "query", "datasource": _SOURCE,
         "query": instance, "definition": instance, "refresh": 2, "multi": True,
         "includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}},
    ]  # fmt: skip
