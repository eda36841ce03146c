"""The three text files that TensorFlow Serving reads beside the models.

Protocol buffers in text form. Batching fields are wrapper messages, so a bare number would stop the
server: `max_batch_size { value: 32 }`.
"""

from __future__ import annotations

from pathlib import Path

from dualtower.bundle import CONTAINER_ROOT, MODELS
from dualtower_export.config import ExportConfig

__all__ = ["batching_config", "models_config", "monitoring_config", "write_server_configs"]

_METRICS_PATH = "/monitoring/prometheus/metrics"


def models_config() -> str:
    """`--model_config_file`: all models of the pair, base paths where the container mounts them."""
    entries = "".join(
        f"""  config {{
    name: "{model}"
    base_path: "{CONTAINER_ROOT}/{model}"
    model_platform: "tensorflow"
    model_version_policy {{ latest {{ num_versions: 1 }} }}
  }}
"""
        for model in MODELS
    )
    return f"model_config_list {{\n{entries}}}\n"


def batching_config(config: ExportConfig) -> str:
    """`--batching_parameters_file`: the sizes that the warm-up file covers, and no others.

    Histories of different lengths must be padded to share a batch. The server pads with a tensor's
    first element instead of "" (tensorflow/serving#1279), which the signatures are built to ignore.
    """
    sizes = "".join(f"allowed_batch_sizes: {size}\n" for size in config.batch_sizes)
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


def write_server_configs(serving: Path, config: ExportConfig) -> None:
    """Writes the three files into the `serving` folder of a bundle."""
    texts = {
        "models.config": models_config(),
        "batching.config": batching_config(config),
        "monitoring.config": monitoring_config(),
    }
    for name, text in texts.items():
        (serving / name).write_text(text, encoding="utf-8")
