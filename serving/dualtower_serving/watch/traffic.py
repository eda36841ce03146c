"""How busy a server is, by two looks at its Prometheus metrics.

The names are TensorFlow Serving's own; the embedded server has the same.
"""

from __future__ import annotations

import math
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dualtower.errors import UnavailableError, UsageError
from dualtower_serving.watch.prometheus_text import Sample, of_name, parse, quantile

__all__ = ["ModelTraffic", "compare", "fetch", "watch"]

COUNT = ":tensorflow:serving:request_count"
LATENCY = ":tensorflow:serving:request_latency_bucket"
_MAX_BYTES = 64 << 20
_US_PER_MS = 1000.0


@dataclass(frozen=True)
class ModelTraffic:
    """One model between two looks.

    Attributes:
        model: its name at the server.
        requests, errors: since the server started.
        rate_qps, errors_qps: between the looks; None where the server started anew between them.
        p50_ms, p95_ms, p99_ms: of successes between the looks, else since the start; None of none.
        since_start: whether the quantiles are those since the start.
    """

    model: str
    requests: int
    errors: int
    rate_qps: float | None
    errors_qps: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    since_start: bool


def watch(url: str, *, over_s: float, timeout_s: float = 10.0) -> list[ModelTraffic]:
    """Looks twice, `over_s` apart."""
    first = fetch(url, timeout_s=timeout_s)
    begin_ns = time.monotonic_ns()
    time.sleep(over_s)
    second = fetch(url, timeout_s=timeout_s)
    return compare(first, second, elapsed_s=(time.monotonic_ns() - begin_ns) / 1e9)


def fetch(url: str, *, timeout_s: float = 10.0) -> list[Sample]:
    """All samples of a page of metrics.

    Raises:
        UsageError: it is no URL of http.
        UnavailableError: nobody answers, or not with metrics.
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError(
            f"--metrics wants a URL such as http://localhost:8501/monitoring/prometheus/metrics, "
            f"got {url}"
        )
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            text = answer.read(_MAX_BYTES).decode("utf-8", "replace")
        return [*parse(text)]
    except urllib.error.HTTPError as error:
        raise UnavailableError(
            f"{url} answers {error.code}; a server exports metrics on its REST port with "
            "--rest_api_port and a --monitoring_config_file that enables them"
        ) from error
    except (OSError, ValueError) as error:
        raise UnavailableError(f"no metrics at {url} ({error})") from error


def compare(
    first: Sequence[Sample], second: Sequence[Sample], *, elapsed_s: float
) -> list[ModelTraffic]:
    """Traffic by model between two looks. Pure."""
    before, after = _counts(first), _counts(second)
    buckets_before, buckets_after = _buckets(first), _buckets(second)
    found = []
    for model in sorted(after):
        had = before.get(model, {})
        grown = {status: count - had.get(status, 0.0) for status, count in after[model].items()}
        anew = min(grown.values()) < 0
        latency = buckets_after.get(model, {})
        lately = {
            bound: count - buckets_before.get(model, {}).get(bound, 0.0)
            for bound, count in latency.items()
        }
        since_start = anew or not any(lately.values())
        observed = latency if since_start else lately
        found.append(
            ModelTraffic(
                model,
                int(sum(after[model].values())),
                int(_errors(after[model])),
                None if anew else sum(grown.values()) / elapsed_s,
                None if anew else _errors(grown) / elapsed_s,
                _ms(quantile(0.50, observed)),
                _ms(quantile(0.95, observed)),
                _ms(quantile(0.99, observed)),
                since_start,
            )
        )
    return found


def _counts(samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for one in of_name(samples, COUNT):
        found[one.labels.get("model_name", "")][one.labels.get("status", "")] = one.value
    return found


def _buckets(samples: Sequence[Sample]) -> dict[str, dict[float, float]]:
    """Observations by upper bound, of all methods and entry points together."""
    found: dict[str, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    for one in of_name(samples, LATENCY):
        found[one.labels.get("model_name", "")][float(one.labels["le"])] += one.value
    return found


def _errors(by_status: Mapping[str, float]) -> float:
    return sum(count for status, count in by_status.items() if status != "OK")


def _ms(us: float) -> float | None:
    return None if math.isnan(us) else round(us / _US_PER_MS, 3)
