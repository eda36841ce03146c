"""Alerts and dashboard: PromQL that parses, metrics that exist, panels that do not overlap."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from dualtower.bundle import MODELS
from dualtower_serving.deploy import queries, write
from dualtower_serving.embedded.metrics import Metrics

# what the stock server exports by our facts about it, observed at its port
OF_THE_STOCK_SERVER = {
    ":tensorflow:serving:request_count",
    ":tensorflow:serving:request_latency",
    ":tensorflow:serving:runtime_latency",
    ":tensorflow:serving:model_warmup_latency",
    ":tensorflow:serving:batching_session:queuing_latency",
    ":tensorflow:serving:batching_session:wrapped_run_count",
    ":tensorflow:cc:saved_model:load_attempt_count",
}
OF_PROMETHEUS = {"up"}


def exported() -> dict[str, set[str]]:
    """The samples of a server that did one of everything: labels by name."""
    metrics = Metrics()
    metrics.requested("user_tower", "Predict", "GRPC", 0, 1000)
    metrics.ran("user_tower", "Predict", 1000)
    metrics.warmed_up("user_tower", 1, 1000, 0)
    metrics.loaded("user_tower", 0)
    metrics.batch_queued("user_tower", 1000)
    metrics.batch_ran("user_tower", 3, 4)
    samples: dict[str, set[str]] = {}
    for line in metrics.render().decode().splitlines():
        found = re.match(r"([:\w]+)(?:\{(.*)\})? ", line)
        if found and not line.startswith("#"):
            labels = set(re.findall(r'(\w+)="', found[2] or ""))
            samples.setdefault(found[1], set()).update(labels)
    return samples


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    """Every selector in a query, by a real parser of PromQL."""
    found: list[promql_parser.VectorSelector] = []

    def walk(node: Any) -> None:
        match node:
            case promql_parser.VectorSelector():
                found.append(node)
            case promql_parser.MatrixSelector():
                found.append(node.vector_selector)
            case promql_parser.BinaryExpr():
                walk(node.lhs)
                walk(node.rhs)
            case promql_parser.Call():
                for argument in node.args:
                    walk(argument)
            case promql_parser.AggregateExpr() | promql_parser.ParenExpr():
                walk(node.expr)
            case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
                pass
            case _:
                raise AssertionError(f"what is {node!r}?")

    walk(promql_parser.parse(expression))
    return found


def asked(deploy, **settings) -> dict[str, str]:
    """Every query of a deployment, by where it stands."""
    made = deploy(**settings)
    found = {}
    for group in yaml.safe_load(made.files["monitoring/alerts.yaml"])["groups"]:
        found |= {f"alert {rule['alert']}": rule["expr"] for rule in group["rules"]}
    for panel in json.loads(made.files["monitoring/dashboard.json"])["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"].replace("$job", "dualtower").replace("$instance", ".*")
            assert "$" not in text.replace('"$1"', "")
            found[f"panel {panel['title']} {target['refId']}"] = text
    adapter = yaml.safe_load(made.files["monitoring/prometheus-adapter.values.yaml"])
    rule = adapter["rules"]["custom"][0]
    query = rule["metricsQuery"].replace("<<.LabelMatchers>>", 'namespace="a",pod=~"b"')
    found["adapter"] = query.replace("<<.GroupBy>>", "pod")
    found["adapter series"] = rule["seriesQuery"]
    return found


def test_every_query_asks_for_metrics_and_labels_that_are_exported(deploy) -> None:
    samples = exported()
    of_kubernetes = {"job", "instance", "namespace", "pod"}
    everything = asked(deploy)
    assert len(everything) > 30
    for place, query in everything.items():
        for selector in selectors(query):
            name = selector.name
            if name in OF_PROMETHEUS:
                continue
            assert name in samples, f"{place} asks for {name}"
            plain = re.sub(r"_(bucket|sum|count)$", "", name)
            assert {name, plain} & OF_THE_STOCK_SERVER, f"{place} asks for {name}"
            labels = {matcher.name for matcher in selector.matchers.matchers}
            assert labels <= samples[name] | of_kubernetes, f"{place} asks {name} for {labels}"


def test_the_parser_refuses_what_is_wrong() -> None:
    """Guards the test above: a parser that takes all would show nothing."""
    with pytest.raises(ValueError, match=r"."):
        promql_parser.parse("sum by (rate(:tensorflow:serving:request_count[5m])")
    assert selectors(":tensorflow:serving:request_count")[0].name == queries.REQUESTS


def test_codes_and_loads_are_spelt_as_the_server_spells_them() -> None:
    metrics = Metrics()
    for code in range(17):
        metrics.requested("m", "Predict", "GRPC", code, 1)
    metrics.loaded("m", 0)
    metrics.loaded("m", 5)
    text = metrics.render().decode()
    for code in queries.server_errors("x='y'").split('status=~"')[1].split('"')[0].split("|"):
        assert f'status="{code}"' in text
    assert 'status="success"' in text
    assert 'status="fail"' in text


def test_versions_are_compared_where_a_server_has_one(deploy) -> None:
    assert "alert DualtowerVersionsDiffer" in asked(deploy)
    assert "alert DualtowerVersionsDiffer" not in asked(deploy, models="volume")


def test_the_operators_rules_are_the_plain_ones(deploy) -> None:
    files = deploy().files
    plain = yaml.safe_load(files["monitoring/alerts.yaml"])
    assert yaml.safe_load(files["monitoring/prometheus-rule.yaml"])["spec"] == plain
    for rule in plain["groups"][0]["rules"]:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description"}


def test_limits_are_those_that_were_asked(deploy) -> None:
    everything = asked(deploy, p99_ms=42.5, error_ratio=0.002)
    assert everything["alert DualtowerLatencyHigh"].endswith("> 42.5")
    assert everything["alert DualtowerErrorsHigh"].endswith("> 0.002")


def test_panels_do_not_overlap(deploy) -> None:
    board = json.loads(deploy().files["monitoring/dashboard.json"])
    places = [(panel["title"], panel["gridPos"]) for panel in board["panels"]]
    for _, place in places:
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
    for (one, a), (other, b) in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        above = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or above, f"{one} lies on {other}"
    for y in {place["y"] for _, place in places}:  # no holes at the right
        assert sum(place["w"] for _, place in places if place["y"] == y) == 24


def test_the_dashboard_is_one_that_grafana_imports(deploy) -> None:
    board = json.loads(deploy().files["monitoring/dashboard.json"])
    assert board.keys() >= {"uid", "title", "schemaVersion", "panels", "templating", "time"}
    assert len(board["uid"]) <= 40
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    variables = {one["name"] for one in board["templating"]["list"]}
    for panel in board["panels"]:
        assert panel["type"] in {"row", "timeseries", "stat", "table"}
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
            assert set(re.findall(r"\$(job|instance|datasource)\b", target["expr"])) <= variables
            legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            grouped = re.findall(r"by \(([\w, ]+)\)", target["expr"])
            given = {label.strip() for one in grouped for label in one.split(",")}
            assert legend <= given | {"model_path", "instance"}, panel["title"]
    titles = [panel["title"] for panel in board["panels"]]
    assert {f"Latency of {model}" for model in MODELS} <= set(titles)


PAIR = ':tensorflow:cc:saved_model:load_attempt_count{job="dualtower",instance="a",'


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not here")
def test_prometheus_fires_the_alerts(deploy, tmp_path: Path) -> None:
    """A version that two of three models have, one that failed, and calls that fail."""
    write(deploy(), tmp_path / "out")
    rules = tmp_path / "out/monitoring/alerts.yaml"
    good = [
        (f'{PAIR}model_path="/models/{model}/1",status="success"}}', "1x100") for model in MODELS
    ]
    half = [
        (f'{PAIR}model_path="/models/{model}/2",status="{status}"}}', "_x20 1x80")
        for model, status in zip(MODELS, ("success", "success", "fail"), strict=True)
    ]
    calls = [
        (
            f'{queries.REQUESTS}{{job="dualtower",model_name="user_tower",status="{s}"}}',
            f"0+{n}x100",
        )
        for s, n in (("OK", 90), ("UNAVAILABLE", 10), ("INVALID_ARGUMENT", 500))
    ]
    names = {"DualtowerPairMismatch": 1, "DualtowerLoadFailed": 1, "DualtowerErrorsHigh": 1,
             "DualtowerCallsRefused": 1, "DualtowerLatencyHigh": 0, "DualtowerServerDown": 0,
             "DualtowerVersionsDiffer": 0}  # fmt: skip
    firing = 'ALERTS{alertstate="firing"'
    tests = {
        "rule_files": [str(rules)],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [{"series": s, "values": v} for s, v in (*good, *half, *calls)],
                "promql_expr_test": [
                    {
                        "expr": f'count({firing}, alertname="{name}"}}) or vector(0)',
                        "eval_time": "15m",
                        "exp_samples": [{"labels": "{}", "value": count}],
                    }
                    for name, count in names.items()
                ],
            }
        ],
    }
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests))
    command = ["promtool", "test", "rules", str(tmp_path / "tests.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    config = str(tmp_path / "out/monitoring/prometheus.yaml")
    subprocess.run(["promtool", "check", "config", config], check=True, capture_output=True)
