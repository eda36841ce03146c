"""Counting, and the page that Prometheus reads."""

from __future__ import annotations

import re
import threading
from collections import Counter

import pytest

from dualtower_serving.embedded.metrics import OTHER_NAMES, Metrics
from dualtower_serving.embedded.monitoring_settings import DEFAULT_PATH, metrics_path
from dualtower_serving.embedded.status import Code, StatusError

# the grammar of https://prometheus.io/docs/instrumenting/exposition_formats/
SAMPLE = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)'
)
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def samples_of(page: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The page by the format's own grammar; each line must fit."""
    found, typed = {}, set()
    text = page.decode()
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
        if line.startswith("#"):
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        name, labels, value = match.groups()
        assert name in typed or re.sub("_(bucket|sum|count)$", "", name) in typed, line
        key = name, frozenset(LABEL.findall(labels or ""))
        assert key not in found, line
        found[key] = float(value)
    return found


def value_of(metrics: Metrics, name: str, **labels: str) -> float:
    return samples_of(metrics.render())[name, frozenset(labels.items())]


def test_calls_are_counted_by_their_end() -> None:
    metrics = Metrics()
    metrics.requested("m", "Predict", "GRPC", Code.OK, 15_000)
    metrics.requested("m", "Predict", "GRPC", Code.OK, 45_000)
    metrics.requested("m", "predict", "REST", Code.OK, 1)
    metrics.requested("m", "Predict", "GRPC", Code.INVALID_ARGUMENT, 15_000)
    count = ":tensorflow:serving:request_count"
    assert value_of(metrics, count, model_name="m", status="OK") == 3
    assert value_of(metrics, count, model_name="m", status="INVALID_ARGUMENT") == 1
    latency = ":tensorflow:serving:request_latency"
    grpc = {"model_name": "m", "API": "Predict", "entrypoint": "GRPC"}
    assert value_of(metrics, f"{latency}_count", **grpc) == 2  # successes only
    assert value_of(metrics, f"{latency}_sum", **grpc) == pytest.approx(60)  # microseconds
    assert value_of(metrics, f"{latency}_bucket", **grpc, le="10") == 0
    assert value_of(metrics, f"{latency}_bucket", **grpc, le="18") == 1
    assert value_of(metrics, f"{latency}_bucket", **grpc, le="58.32") == 2
    assert value_of(metrics, f"{latency}_bucket", **grpc, le="+Inf") == 2
    assert metrics.value("/tensorflow/serving/request_count") == 4
    assert metrics.value(latency) == 3
    assert metrics.value("no such metric") == 0


def test_buckets_are_the_stock_servers() -> None:
    metrics = Metrics()
    metrics.requested("m", "Predict", "GRPC", Code.OK, 1)
    bounds = re.findall(rb'request_latency_bucket\{.*le="([^"]+)"', metrics.render())
    assert len(bounds) == 34
    assert bounds[-1] == b"+Inf"
    for k, bound in enumerate(bounds[:-1]):
        assert float(bound) == pytest.approx(10 * 1.8**k, rel=1e-5)


def test_the_page_has_every_name_before_the_first_call() -> None:
    page = Metrics().render().decode()
    for name, kind in {
        "request_count": "counter",
        "request_latency": "histogram",
        "runtime_latency": "histogram",
        "request_example_counts": "histogram",
        "request_log_count": "counter",
        "model_warmup_latency": "histogram",
        "model_warmup_records_read": "counter",
        "mlmd_map": "gauge",
        "batching_session:queuing_latency": "histogram",
        "batching_session:wrapped_run_count": "counter",
        "batching_session:input_batch_size": "histogram",
        "batching_session:padding_size": "histogram",
        "batching_session:processed_batch_size": "histogram",
    }.items():
        assert f"# TYPE :tensorflow:serving:{name} {kind}\n" in page


def test_loads_warm_ups_and_batches() -> None:
    metrics = Metrics()
    metrics.loaded("m", Code.OK, path="/models/m/1")
    metrics.loaded("m", Code.NOT_FOUND, path="/models/m/2")
    metrics.warmed_up("m", 3, 5_000_000, Code.OK, path="/models/m/1")
    metrics.batch_queued("m", 200_000)
    metrics.batch_ran("m", 3, 4)
    loads = ":tensorflow:cc:saved_model:load_attempt_count"
    assert value_of(metrics, loads, model_path="/models/m/1", status="success") == 1
    assert value_of(metrics, loads, model_path="/models/m/2", status="fail") == 1
    read = ":tensorflow:serving:model_warmup_records_read"
    assert value_of(metrics, read, model_path="/models/m/1", status="OK") == 3
    batching = ":tensorflow:serving:batching_session:"
    assert value_of(metrics, f"{batching}wrapped_run_count") == 1
    assert value_of(metrics, f"{batching}padding_size_sum", execution_batch_size="4") == 1
    assert value_of(metrics, f"{batching}processed_batch_size_sum") == 4
    queued = value_of(metrics, f"{batching}queuing_latency_sum", thread_pool_name="batch_threads")
    assert queued == 200


def test_names_of_callers_are_bounded_and_those_of_models_are_not() -> None:
    metrics = Metrics(max_model_names=3)
    for number in range(100):
        metrics.requested(f"unknown{number}", "Predict", "GRPC", Code.NOT_FOUND, 1)
    metrics.requested("x" * 300, "Predict", "GRPC", Code.NOT_FOUND, 1)
    metrics.loaded("late", Code.OK)
    metrics.requested("late", "Predict", "GRPC", Code.OK, 1)
    counted = Counter(
        dict(labels)["model_name"]
        for name, labels in samples_of(metrics.render())
        if name == ":tensorflow:serving:request_count"
    )
    assert set(counted) == {"unknown0", "unknown1", "unknown2", OTHER_NAMES, "late"}
    others = value_of(
        metrics, ":tensorflow:serving:request_count", model_name=OTHER_NAMES, status="NOT_FOUND"
    )
    assert others == 98


def test_any_name_makes_a_page_that_can_be_read() -> None:
    metrics = Metrics()
    for name in ('a"b', "a\\b", "a\nb", "ü\0", "\udcff", "", "}"):
        metrics.requested(name, "predict", "REST", Code.NOT_FOUND, 1)
    assert len(samples_of(metrics.render())) > 7


def test_threads_lose_no_count() -> None:
    metrics = Metrics()

    def call() -> None:
        for _ in range(2000):
            metrics.begun("GRPC")
            metrics.requested("m", "Predict", "GRPC", Code.OK, 1000)
            metrics.ended("GRPC")

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert metrics.value(":tensorflow:serving:request_latency") == 8000
    assert value_of(metrics, ":dualtower:calls_in_flight", entrypoint="GRPC") == 0


def test_what_others_know_is_read_at_each_scrape() -> None:
    metrics, depth = Metrics(), {("m",): 2.0}
    metrics.watch("queue_depth", "Waiting.", ("model_name",), lambda: depth)
    assert value_of(metrics, ":dualtower:queue_depth", model_name="m") == 2
    depth["m",] = 5
    assert value_of(metrics, ":dualtower:queue_depth", model_name="m") == 5
    assert value_of(metrics, ":dualtower:process_resident_memory_bytes") > 1e6


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", None),
        ("prometheus_config { enable: false }", None),
        ("prometheus_config { enable: true }", DEFAULT_PATH),
        ('prometheus_config: { enable: true, path: "/x/y" }', "/x/y"),
    ],
)
def test_monitoring_files(tmp_path, text: str, path: str | None) -> None:
    file = tmp_path / "monitoring.txt"
    file.write_text(text)
    assert metrics_path(str(file)) == path


@pytest.mark.parametrize(
    "text", ["prometheus { enable: true }", "prometheus_config {", "\x00", 'path: "x"']
)
def test_a_wrong_monitoring_file_is_refused(tmp_path, text: str) -> None:
    file = tmp_path / "monitoring.txt"
    file.write_text(text)
    with pytest.raises(StatusError, match=r"monitoring\.txt"):
        metrics_path(str(file))


def test_a_missing_monitoring_file_or_a_relative_path_is_refused(tmp_path) -> None:
    with pytest.raises(StatusError, match="cannot read"):
        metrics_path(str(tmp_path / "none"))
    file = tmp_path / "monitoring.txt"
    file.write_text('prometheus_config { enable: true path: "metrics" }')
    with pytest.raises(StatusError, match="must begin with /"):
        metrics_path(str(file))
