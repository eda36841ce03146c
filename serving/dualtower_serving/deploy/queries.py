"""PromQL over the metrics that the servers export, for dashboard, alerts and scaling.

Names start with a colon, which PromQL takes. Only such metrics are asked for that the stock server
exports in a form that is certain: counters, and samplers as histograms of microseconds. Of its
`batching_session:*_size` metrics that is not so; rows a batch is not asked for.

The pair: no metric of the server tells versions, but TensorFlow counts loads by the path that was
loaded, `.../user_tower/7`. A version that not all three models have loaded is a mixed pair.
"""

from __future__ import annotations

from dualtower.bundle import MODELS

__all__ = [
    "CALLS_IN_FLIGHT", "LATENCY", "LOADS", "QUEUED", "REQUESTS", "calls_in_flight", "failed_loads",
    "latency_ms", "loaded_versions", "mixed_pairs", "queued_ms", "refused", "requests_a_batch",
    "requests_by", "server_errors", "versions_loaded", "warm_up_ms",
]  # fmt: skip

REQUESTS = ":tensorflow:serving:request_count"
LATENCY = ":tensorflow:serving:request_latency"
RUNTIME = ":tensorflow:serving:runtime_latency"
QUEUED = ":tensorflow:serving:batching_session:queuing_latency"
BATCHES = ":tensorflow:serving:batching_session:wrapped_run_count"
WARM_UP = ":tensorflow:serving:model_warmup_latency"
LOADS = ":tensorflow:cc:saved_model:load_attempt_count"

CALLS_IN_FLIGHT = "tensorflow_serving_calls_in_flight"  # a custom metric's name has no colons

_ANY = "|".join(MODELS)
_MODELS = f'model_name=~"{_ANY}"'
_PATHS = f'model_path=~".*/({_ANY})/[0-9]+"'
# the caller's own mistakes (INVALID_ARGUMENT, NOT_FOUND, ...) are not the server's errors
_SERVER_ERRORS = "UNKNOWN|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|INTERNAL|UNAVAILABLE|DATA_LOSS"
_REFUSED = "RESOURCE_EXHAUSTED|UNAVAILABLE"


def requests_by(of: str, label: str, *, window: str = "5m") -> str:
    """Calls a second; `of` selects servers, such as `job="dualtower"`."""
    return f"sum by ({label}) (rate({REQUESTS}{{{of}}}[{window}]))"


def server_errors(of: str, *, window: str = "5m") -> str:
    """Share of the calls of each model that failed through the server."""
    failed = f'rate({REQUESTS}{{{of}, {_MODELS}, status=~"{_SERVER_ERRORS}"}}[{window}])'
    every = f"rate({REQUESTS}{{{of}, {_MODELS}}}[{window}])"
    return f"sum by (model_name) ({failed}) / sum by (model_name) ({every})"


def refused(of: str, *, window: str = "5m") -> str:
    """Calls a second of each model that found the queue or the threads full."""
    chosen = f'{REQUESTS}{{{of}, {_MODELS}, status=~"{_REFUSED}"}}'
    return f"sum by (model_name) (rate({chosen}[{window}]))"


def latency_ms(of: str, quantile: float, *, runtime: bool = False, window: str = "5m") -> str:
    """A quantile of the successful calls of each model; of TensorFlow's part with `runtime`."""
    metric = f"{RUNTIME if runtime else LATENCY}_bucket{{{of}, {_MODELS}}}"
    buckets = f"sum by (model_name, le) (rate({metric}[{window}]))"
    return f"histogram_quantile({quantile:g}, {buckets}) / 1000"


def queued_ms(of: str, quantile: float, *, window: str = "5m") -> str:
    """A quantile of the wait for a batch."""
    buckets = f"sum by (le) (rate({QUEUED}_bucket{{{of}}}[{window}]))"
    return f"histogram_quantile({quantile:g}, {buckets}) / 1000"


def requests_a_batch(of: str, *, window: str = "5m") -> str:
    """How many calls share a run on average: 1 says that batching brings nothing."""
    waited = f"sum(rate({QUEUED}_count{{{of}}}[{window}]))"
    return f"{waited} / sum(rate({BATCHES}{{{of}}}[{window}]))"


def calls_in_flight(of: str, label: str, *, window: str = "2m") -> str:
    """Calls being answered at a time, on average: seconds of answering in each second."""
    return f"sum by ({label}) (rate({LATENCY}_sum{{{of}}}[{window}])) / 1e6"


def loaded_versions(of: str) -> str:
    """One series for each server, model and version that was loaded since the server started."""
    loads = f'{LOADS}{{{of}, {_PATHS}, status="success"}}'
    model = f'label_replace({loads}, "model", "$1", "model_path", ".*/([^/]+)/[0-9]+")'
    both = f'label_replace({model}, "version", "$1", "model_path", ".*/0*([0-9]+)")'
    return f"max by (instance, pod, model, version) ({both}) > 0"


def mixed_pairs(of: str) -> str:
    """Servers with a version that only some of the three models have loaded."""
    return f"count by (instance, pod, version) ({loaded_versions(of)}) < {len(MODELS)}"


def versions_loaded(of: str) -> str:
    """How many versions servers have loaded, all of them together."""
    return f"count(count by (version) ({loaded_versions(of)}))"


def failed_loads(of: str, *, window: str = "15m") -> str:
    """Paths that failed to load lately, the first time too, in which `increase` sees nothing."""
    failed = f'{LOADS}{{{of}, status="fail"}}'
    new = f"({failed} unless {failed} offset {window}) > 0"
    return f"max by (instance, pod, model_path) (({new}) or (increase({failed}[{window}]) > 0))"


def warm_up_ms(of: str) -> str:
    """Mean warm-up of each version."""
    chosen = f"{{{of}}}"
    return f"{WARM_UP}_sum{chosen} / {WARM_UP}_count{chosen} / 1000"
