"""The text files that TensorFlow Serving reads beside the models, and how it is to be started.

    models.config  labels.config  batching.config  monitoring.config     read by the server
    server.env  server.flags      for a container that is started without dualtower

Protocol buffers in text form. Batching fields are wrapper messages, so a bare number would stop the
server: `max_batch_size { value: 32 }`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dualtower.bundle import CONTAINER_ROOT
from dualtower.server_compute import AIMS, compute_for
from dualtower.server_entries import model_entries
from dualtower_export.config import ExportConfig

__all__ = [
    "batching_config",
    "labels_config",
    "models_config",
    "monitoring_config",
    "server_environment",
    "server_flags",
    "write_server_configs",
]

_METRICS_PATH = "/monitoring/prometheus/metrics"


def models_config(config: ExportConfig) -> str:
    """`models.config`, with base paths where the container mounts them.

    It names no labels: a server that starts with one refuses it, since no version is loaded yet.
    """
    return model_entries(CONTAINER_ROOT, policy=config.version_policy, version=config.version)


def labels_config(config: ExportConfig) -> str:
    """`labels.config`: the same with labels, for a server that has loaded the version."""
    return model_entries(
        CONTAINER_ROOT,
        policy=config.version_policy,
        version=config.version,
        labels=config.version_labels,
    )


def batching_config(config: ExportConfig) -> str:
    """`--batching_parameters_file`: batches up to the largest size that is warmed up.

    Histories of different lengths must be padded to share a batch. The server pads with a tensor's
    first element instead of "" (tensorflow/serving#1279), which the signatures are built to ignore.
    """
    padded = config.batch_sizes if config.pad_batches else ()
    sizes = "".join(f"allowed_batch_sizes: {size}\n" for size in padded)
    # By default the server has one for each core, and with `dualtower serve --aim throughput` each
    # batch a core to itself; with one thread, one batch at a time gets them all.
    threads = f"num_batch_threads {{ value: {config.batch_threads} }}\n" * bool(
        config.batch_threads
    )
    return (
        f"max_batch_size {{ value: {config.batch_sizes[-1]} }}\n"
        f"batch_timeout_micros {{ value: {config.batch_timeout_us} }}\n"
        f"max_enqueued_batches {{ value: {config.max_enqueued_batches} }}\n"
        f"{threads}{sizes}"
        "pad_variable_length_inputs: true\n"
    )


def monitoring_config() -> str:
    """`--monitoring_config_file`: Prometheus metrics on the REST port."""
    return f'prometheus_config {{\n  enable: true\n  path: "{_METRICS_PATH}"\n}}\n'


def server_environment() -> str:
    """`docker run --env-file`: a variable a line, those of `dualtower serve`."""
    return _lines(f"{key}={value}" for key, value in compute_for(AIMS[0]).environment.items())


def server_flags() -> str:
    """A flag a line, those of `dualtower serve` with the files where the container mounts them."""
    flags = (
        f"--model_config_file={CONTAINER_ROOT}/models.config",
        "--enable_batching",
        f"--batching_parameters_file={CONTAINER_ROOT}/batching.config",
        f"--monitoring_config_file={CONTAINER_ROOT}/monitoring.config",
    )
    return _lines([*flags, *compute_for(AIMS[0]).flags])


def _lines(parts: Iterable[str]) -> str:
    return "".join(f"{part}\n" for part in parts)


def write_server_configs(serving: Path, config: ExportConfig) -> None:
    """Writes the files into the `serving` folder of a bundle."""
    texts = {
        "models.config": models_config(config),
        "batching.config": batching_config(config),
        "monitoring.config": monitoring_config(),
        "server.env": server_environment(),
        "server.flags": server_flags(),
    }
    if config.version_labels:
        texts["labels.config"] = labels_config(config)
    for name, text in texts.items():
        (serving / name).write_text(text, encoding="utf-8")
