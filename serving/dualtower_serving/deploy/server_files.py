"""The files that the server in a container reads besides the models, made of the bundle's own."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from google.protobuf import text_format
from google.protobuf.message import Message

from dualtower.bundle import MODELS, Bundle
from dualtower.errors import BundleError
from dualtower_clients.proto import management_pb2, server_config_pb2
from dualtower_serving.bundle_flags import FILE_NAME, own_flags

__all__ = ["MODELS_CONFIG", "MODEL_STATUS", "ServerFiles", "server_files"]

MODEL_STATUS = "model_status.sh"
MODELS_CONFIG = "models.config"
_DEFAULT_METRICS_PATH = "/monitoring/prometheus/metrics"


@dataclass(frozen=True)
class ServerFiles:
    """Their texts, and what was read in the bundle's.

    Attributes:
        texts: by file name.
        environment: variables of the process.
        flags: of the bundle's own, those that name no file.
        batching: whether requests of different callers share a run.
        labelled: whether a label is set at the start.
        metrics_path: where Prometheus scrapes.
    """

    texts: dict[str, str]
    environment: dict[str, str]
    flags: tuple[str, ...]
    batching: bool
    labelled: bool
    metrics_path: str


def server_files(bundle: Bundle, *, cpus: int) -> ServerFiles:
    """Reads the files of a bundle and makes those of a container.

    A server starts with exactly the bundle's version, also where other versions lie beside it, and
    with the bundle's labels. Batches get a thread for each core of the container: the server itself
    would count those of the node.

    Raises:
        BundleError: a file is missing or cannot be read as what it is.
    """
    labels = bundle.serving_path / "labels.config"
    source = "labels.config" if labels.is_file() else MODELS_CONFIG
    models = management_pb2.ModelServerConfig()
    _parse(bundle, source, models)
    _check_models(bundle, source, models)
    labelled = False
    for one in models.model_config_list.config:
        one.model_version_policy.Clear()
        one.model_version_policy.specific.versions.append(bundle.version)
        for label in one.version_labels:
            one.version_labels[label] = bundle.version
            labelled = True

    batching_text = _read(bundle, "batching.config")
    batching = server_config_pb2.BatchingParameters()
    _parse(bundle, "batching.config", batching)
    if not batching.HasField("num_batch_threads"):
        batching_text += f"num_batch_threads {{ value: {cpus} }}\n"

    monitoring = server_config_pb2.MonitoringConfig()
    _parse(bundle, "monitoring.config", monitoring)
    if not monitoring.prometheus_config.enable:
        raise BundleError(
            f"{bundle.serving_path}/monitoring.config turns metrics off, which dashboards, alerts "
            "and scaling need; export the bundle again"
        )
    _read(bundle, FILE_NAME)  # a container is not started without it
    own = own_flags(bundle)
    assert own is not None
    probe = resources.files(__package__).joinpath(MODEL_STATUS).read_text(encoding="utf-8")
    return ServerFiles(
        texts={
            MODELS_CONFIG: text_format.MessageToString(models),
            "batching.config": batching_text,
            "monitoring.config": _read(bundle, "monitoring.config"),
            MODEL_STATUS: probe,
        },
        environment=_environment(bundle),
        flags=own.flags,
        batching=own.batching,
        labelled=labelled,
        metrics_path=monitoring.prometheus_config.path or _DEFAULT_METRICS_PATH,
    )


def _check_models(bundle: Bundle, name: str, models: Message) -> None:
    found = [one.name for one in models.model_config_list.config]  # type: ignore[attr-defined]
    if sorted(found) != sorted(MODELS):
        raise BundleError(
            f"{bundle.serving_path}/{name} lists {', '.join(found) or 'no model'}; a pair has "
            f"{', '.join(MODELS)}; export the bundle again"
        )


def _environment(bundle: Bundle) -> dict[str, str]:
    pairs = {}
    for line in _read(bundle, "server.env").splitlines():
        key, equals, value = line.partition("=")
        if line.strip() and not line.startswith("#"):
            if not equals or not key.isidentifier():
                raise BundleError(
                    f"{bundle.serving_path}/server.env has the line {line!r}, which is no "
                    "NAME=VALUE; export the bundle again"
                )
            pairs[key] = value
    return pairs


def _parse(bundle: Bundle, name: str, message: Message) -> None:
    try:
        text_format.Parse(_read(bundle, name), message)
    except text_format.ParseError as error:
        raise BundleError(
            f"{bundle.serving_path / name} cannot be read ({error}); export the bundle again"
        ) from error


def _read(bundle: Bundle, name: str) -> str:
    path = bundle.serving_path / name
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(
            f"{path} cannot be read ({error}), which a container is started by; "
            "export the bundle again"
        ) from error
