"""What the server counts, under the names of TensorFlow Serving, as Prometheus reads it.

Names start with `:tensorflow:`, so that dashboards made for the stock server work. What operators
need besides starts with `:dualtower:`.

A model name comes from the caller. The stock server makes a new series for every unknown one,
without end; here the first `max_model_names` of them have a series of their own, the rest share
the label value `OTHER_NAMES`. Models that were loaded always have their own.

Durations are observed in microseconds, as in the stock server.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping

from dualtower_serving.embedded import process_facts, prometheus_text
from dualtower_serving.embedded.metric_series import Counter, Histogram, exponential_bounds
from dualtower_serving.embedded.status import Code

__all__ = ["OTHER_NAMES", "Metrics"]

OTHER_NAMES = "(other names)"
_MAX_NAME_CHARS = 256
_CODE_NAMES = {number: name for name, number in Code.items()}
_RUNTIME = "TF1"  # what the stock server calls a session
_NS_PER_US = 1000
# 10 µs to 25 minutes
_LATENCY_US = exponential_bounds(10, 1.8, 33)
_QUEUING_US = exponential_bounds(100, 1.2, 52)
_EXAMPLES = exponential_bounds(1, 2, 15)
_ROWS = exponential_bounds(1, 2, 15)


class Metrics:
    """Counts calls, runs, loads and batches. Threads share it; a call costs about a microsecond.

    Args:
        thread_pool_name: of the batching parameters, the label of the queuing latency.
        max_model_names: names that callers may add before they share one series.
    """

    def __init__(
        self, *, thread_pool_name: str = "batch_threads", max_model_names: int = 1000
    ) -> None:
        self._pool = thread_pool_name
        self._max_names = max_model_names
        self._lock = threading.Lock()
        self._asked: set[str] = set()
        self._served: set[str] = set()
        self._watched: list[_Watched] = []
        self._started_s = time.time()

        serving = ":tensorflow:serving:"
        batching = serving + "batching_session:"
        self._requests = Counter(
            serving + "request_count", "The calls, by how they ended.", ("model_name", "status")
        )
        self._request_us = Histogram(
            serving + "request_latency",
            "Wall time in microseconds of calls that succeeded.",
            _LATENCY_US,
            ("model_name", "API", "entrypoint"),
        )
        self._runtime_us = Histogram(
            serving + "runtime_latency",
            "Wall time in microseconds of TensorFlow's runs, queues of batching included.",
            _LATENCY_US,
            ("model_name", "API", "runtime"),
        )
        self._example_counts = Histogram(
            serving + "request_example_counts", "Examples in a call.", _EXAMPLES, ("model",)
        )
        self._example_total = Counter(
            serving + "request_example_count_total", "Examples of all calls.", ("model",)
        )
        self._logged = Counter(
            serving + "request_log_count",
            "Calls that were logged; this server logs none.",
            ("model_name", "status_code"),
        )
        self._warm_up_us = Histogram(
            serving + "model_warmup_latency",
            "Wall time in microseconds of a version's warm-up.",
            _LATENCY_US,
            ("model_path", "status"),
        )
        self._warm_up_records = Counter(
            serving + "model_warmup_records_read",
            "Records read from warm-up files.",
            ("model_path", "status"),
        )
        self._mlmd = Counter(
            serving + "mlmd_map",
            "ML Metadata of loaded versions; not read by this server.",
            ("model_name", "version"),
            "gauge",
        )
        self._loads = Counter(
            ":tensorflow:cc:saved_model:load_attempt_count",
            "Attempts to load a version.",
            ("model_path", "status"),
        )
        self._queuing_us = Histogram(
            batching + "queuing_latency",
            "Wall time in microseconds that requests waited for their batch.",
            _QUEUING_US,
            ("thread_pool_name",),
        )
        self._wrapped_runs = Counter(batching + "wrapped_run_count", "Batches that ran.")
        self._input_rows = Histogram(
            batching + "input_batch_size", "Rows of a batch, without padding.", _ROWS
        )
        self._padded_rows = Histogram(
            batching + "padding_size",
            "Rows added to reach an allowed batch size.",
            (0, *_ROWS),
            ("execution_batch_size",),
        )
        self._processed_rows = Histogram(
            batching + "processed_batch_size", "Rows of a batch, with padding.", _ROWS
        )
        self._in_flight = Counter(
            ":dualtower:calls_in_flight", "Calls being answered now.", ("entrypoint",), "gauge"
        )
        self._model_queuing_us = Histogram(
            ":dualtower:batch_queuing_latency",
            "As queuing_latency, by model.",
            _QUEUING_US,
            ("model_name",),
        )
        self._model_rows = Counter(
            ":dualtower:batch_rows", "Rows that ran in batches, without padding.", ("model_name",)
        )
        self._model_batches = Counter(":dualtower:batches", "Batches that ran.", ("model_name",))
        self._all: list[Counter | Histogram] = [
            one for one in vars(self).values() if isinstance(one, Counter | Histogram)
        ]

    def requested(self, model: str, api: str, entrypoint: str, code: int, elapsed_ns: int) -> None:
        """A call ended.

        Args:
            model: the name that was asked for, known or not.
            api: "Predict", "Classify", "Regress" over gRPC; "predict", ... or "" over REST.
            entrypoint: "GRPC" or "REST".
            code: a number of `Code`.
            elapsed_ns: from the first byte of the request to the last of the answer.
        """
        with self._lock:
            name = self._bounded(model)
            self._requests.add((name, _CODE_NAMES[code]))
            if code == Code.OK:
                self._request_us.add((name, api, entrypoint), elapsed_ns / _NS_PER_US)

    def begun(self, entrypoint: str) -> None:
        """A call came; `ended` must follow."""
        with self._lock:
            self._in_flight.add((entrypoint,))

    def ended(self, entrypoint: str) -> None:
        """The call was answered, or its caller is gone."""
        with self._lock:
            self._in_flight.add((entrypoint,), -1)

    def ran(self, model: str, api: str, elapsed_ns: int) -> None:
        """A run of the graph succeeded; `api` as gRPC calls it."""
        with self._lock:
            self._runtime_us.add((self._bounded(model), api, _RUNTIME), elapsed_ns / _NS_PER_US)

    def examples(self, model: str, count: int) -> None:
        """A call brought this many examples."""
        with self._lock:
            name = self._bounded(model)
            self._example_counts.add((name,), count)
            self._example_total.add((name,), count)

    def warmed_up(
        self, model: str, records: int, elapsed_ns: int, code: int, *, path: str = ""
    ) -> None:
        """The warm-up of a version ended. The label is `path`, or the name without it."""
        with self._lock:
            self._served.add(model)
            labels = (self._bounded_path(path or model), _CODE_NAMES[code])
            self._warm_up_us.add(labels, elapsed_ns / _NS_PER_US)
            self._warm_up_records.add(labels, records)

    def loaded(self, model: str, code: int, *, path: str = "") -> None:
        """A load ended. The label is `path`, or the name without it."""
        with self._lock:
            self._served.add(model)
            status = "success" if code == Code.OK else "fail"
            self._loads.add((self._bounded_path(path or model), status))

    def batch_queued(self, model: str, elapsed_ns: int) -> None:
        """A request left its queue."""
        with self._lock:
            self._queuing_us.add((self._pool,), elapsed_ns / _NS_PER_US)
            self._model_queuing_us.add((self._bounded(model),), elapsed_ns / _NS_PER_US)

    def batch_ran(self, model: str, rows: int, processed_rows: int) -> None:
        """A batch ran: `processed_rows` with padding, of which `rows` were asked for."""
        with self._lock:
            self._wrapped_runs.add(())
            self._input_rows.add((), rows)
            self._padded_rows.add((str(processed_rows),), processed_rows - rows)
            self._processed_rows.add((), processed_rows)
            name = self._bounded(model)
            self._model_batches.add((name,))
            self._model_rows.add((name,), rows)

    def watch(
        self,
        name: str,
        text: str,
        labels: tuple[str, ...],
        read: Callable[[], Mapping[tuple[str, ...], float]],
    ) -> None:
        """Adds a gauge that is read at each scrape.

        Args:
            name: without `:dualtower:`.
            text: what it says.
            labels: their names.
            read: the values by the labels' values; quick, callable from any thread.
        """
        with self._lock:
            self._watched.append(_Watched(f":dualtower:{name}", text, labels, read))

    def value(self, name: str) -> int:
        """A metric summed over its labels, of a histogram the observations; 0 for an unknown one.

        Args:
            name: as Prometheus shows it, or with slashes, as the stock server registers it.
        """
        name = name.replace("/", ":")
        with self._lock:
            return int(sum(one.total() for one in self._all if one.name == name))

    def render(self) -> bytes:
        """Everything, as Prometheus reads it."""
        with self._lock:
            parts = [one.render() for one in self._all]
            watched = list(self._watched)
        parts += [one.render() for one in watched]
        parts += [
            _gauge("process_resident_memory_bytes", process_facts.resident_bytes()),
            _gauge("process_open_fds", process_facts.open_files()),
            _gauge("process_threads", threading.active_count()),
            _gauge("process_cpu_seconds", sum(os.times()[:2])),
            _gauge("process_start_time_seconds", self._started_s),
        ]
        return "".join(parts).encode("utf-8", "replace")

    def _bounded(self, name: str) -> str:
        if name in self._served or name in self._asked:
            return name
        if len(self._asked) >= self._max_names or len(name) > _MAX_NAME_CHARS:
            return OTHER_NAMES
        self._asked.add(name)
        return name

    def _bounded_path(self, path: str) -> str:
        """Each new version is a new path: a server that is up for years sees many."""
        known = self._loads.values.keys() | self._warm_up_records.values.keys()
        if len(known) < self._max_names or any(path == labels[0] for labels in known):
            return path
        return OTHER_NAMES


class _Watched:
    """A gauge that somebody else knows."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: tuple[str, ...],
        read: Callable[[], Mapping[tuple[str, ...], float]],
    ) -> None:
        self._gauge = Counter(name, text, labels, "gauge")
        self._read = read

    def render(self) -> str:
        self._gauge.values = dict(self._read())
        return self._gauge.render()


def _gauge(name: str, value: float) -> str:
    full = f":dualtower:{name}"
    return prometheus_text.header(full, "gauge", "Of this process.") + prometheus_text.sample(
        full, (), value
    )
