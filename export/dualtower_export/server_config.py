"""The three text files that TensorFlow Serving reads beside the models.

Protocol buffers in text form. Batching fields are wrapper messages, so a bare number would stop the
server: `max_batch_size { value: 32 }`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dualtower.bundle import CONTAINER_ROOT, MODELS
from dualtower_export.config import ExportConfig

__all__ = [
    "batching_config",
    "model_entries",
    "models_config",
    "monitoring_config",
    "write_server_configs",
]

_METRICS_PATH = "/monitoring/prometheus/metrics"


def model_entries(root: str, *, policy: str, version: int, labels: Sequence[str] = ()) -> str:
    """A `--model_config_file`: all models of the pair.

    Args:
        root: where the models lie, a folder or URL.
        policy: one of VERSION_POLICIES.
        version: what `specific` serves, and what a label points to.
        labels: names for the version. A server that starts with some refuses them all, unless it
            has `--allow_version_labels_for_unavailable_models`: it reads labels before it loads.
    """
    chosen = {
        "latest": "latest { num_versions: 1 }",
        "specific": f"specific {{ versions: {version} }}",
    }[policy]
    named = "".join(
        f'    version_labels {{ key: "{label}" value: {version} }}\n' for label in labels
    )
    entries = "".join(
        f"""  config {{
    name: "{model}"
    base_path: "{root}/{model}"
    model_platform: "tensorflow"
    model_version_policy {{ {chosen} }}
{named}  }}
"""
        for model in MODELS
    )
    return f"model_config_list {{\n{entries}}}\n"


def models_config() -> str:
    """`models.config`, with base paths where the container mounts them."""
    return model_entries(CONTAINER_ROOT, policy="latest", version=1)


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
