"""Prometheus' text format and its quantiles, against the embedded server's page and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dualtower.errors import UnavailableError, UsageError
from dualtower_serving.embedded.metrics import Metrics
from dualtower_serving.watch.prometheus_text import parse, quantile
from dualtower_serving.watch.traffic import compare, fetch

PAGE = r"""
# HELP :tensorflow:serving:request_count requests
# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{model_name="user_tower",status="OK"} 7 1700000000000
plain 3.5
odd{text="a \"b\" \\ \n c", empty=""} +Inf
nan_value NaN
"""


def test_lines_of_all_kinds() -> None:
    found = list(parse(PAGE))
    assert [one.name for one in found] == [
        ":tensorflow:serving:request_count", "plain", "odd", "nan_value",
    ]  # fmt: skip
    assert found[0].labels == {"model_name": "user_tower", "status": "OK"}
    assert (found[0].value, found[1].value, found[2].value) == (7, 3.5, math.inf)
    assert found[2].labels == {"text": 'a "b" \\ \n c', "empty": ""}
    assert math.isnan(found[3].value)


@pytest.mark.parametrize("line", ["<html>", "a{b=c} 1", "a", 'a{b="c" 1', "a{} x"])
def test_lines_that_are_none(line: str) -> None:
    with pytest.raises(ValueError, match=r"line 1|could not convert"):
        list(parse(line))


def test_quantiles_lie_where_the_observations_do() -> None:
    values = np.random.default_rng(1).gamma(2.0, 300.0, 5000)
    bounds = [10 * 1.8**k for k in range(16)]
    buckets = {bound: float((values <= bound).sum()) for bound in [*bounds, math.inf]}
    for share in (0.5, 0.95, 0.99):
        exact = np.quantile(values, share)
        above = min(bound for bound in bounds if bound >= exact)
        assert above / 1.8 <= quantile(share, buckets) <= above


def test_quantiles_by_hand() -> None:
    buckets = {1.0: 2.0, 2.0: 4.0, math.inf: 8.0}
    assert quantile(0.25, buckets) == 1.0
    assert quantile(0.375, buckets) == 1.5
    assert quantile(0.9, buckets) == 2.0, "beyond the last finite bound"
    assert math.isnan(quantile(0.5, {1.0: 0.0, math.inf: 0.0}))
    assert math.isnan(quantile(0.5, {}))


def _page(metrics: Metrics):
    return list(parse(metrics.render().decode()))


def test_traffic_between_two_looks_at_the_servers_own_page() -> None:
    metrics = Metrics()
    metrics.requested("m", "Predict", "GRPC", 0, 900_000_000)  # slow, and long ago
    first = _page(metrics)
    for _ in range(8):
        metrics.requested("m", "Predict", "GRPC", 0, 2_000_000)
    metrics.requested("m", "Predict", "GRPC", 3, 2_000_000)
    (found,) = [one for one in compare(first, _page(metrics), elapsed_s=2.0) if one.model == "m"]
    assert (found.requests, found.errors) == (10, 1)
    assert (found.rate_qps, found.errors_qps) == (4.5, 0.5)
    assert not found.since_start
    assert 1.0 < found.p50_ms <= 3.5, "the bucket of 2 ms, and not the slow one"
    (idle,) = [one for one in compare(first, first, elapsed_s=2.0) if one.model == "m"]
    assert (idle.rate_qps, idle.since_start) == (0, True)
    assert idle.p50_ms > 500


def test_a_server_that_started_anew_between_the_looks_has_no_rate() -> None:
    before, after = Metrics(), Metrics()
    for _ in range(5):
        before.requested("m", "Predict", "GRPC", 0, 1_000_000)
    after.requested("m", "Predict", "GRPC", 0, 1_000_000)
    (found,) = [
        one for one in compare(_page(before), _page(after), elapsed_s=1) if one.model == "m"
    ]
    assert (found.rate_qps, found.requests, found.since_start) == (None, 1, True)


def test_urls_without_metrics() -> None:
    with pytest.raises(UsageError, match="--metrics wants a URL"):
        fetch("localhost:8501")
    with pytest.raises(UnavailableError, match="no metrics at"):
        fetch("http://localhost:1/x")
