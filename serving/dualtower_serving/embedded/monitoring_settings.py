"""--monitoring_config_file: whether and where Prometheus reads."""

from __future__ import annotations

from google.protobuf import text_format

from dualtower_clients.proto import server_config_pb2
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["DEFAULT_PATH", "metrics_path"]

DEFAULT_PATH = "/monitoring/prometheus/metrics"


def metrics_path(file: str) -> str | None:
    """The path of the metrics page on the REST port, None where the file does not enable it.

    Args:
        file: of protobuf's text format, `prometheus_config { enable: true path: "/metrics" }`.

    Raises:
        StatusError: the file cannot be read or parsed, or the path is none.
    """
    try:
        with open(file, encoding="utf-8") as stream:
            config = text_format.Parse(stream.read(), server_config_pb2.MonitoringConfig())
    except OSError as error:
        raise StatusError(
            Code.NOT_FOUND, f"cannot read the monitoring config file {file}: {error.strerror}"
        ) from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise StatusError(
            Code.INVALID_ARGUMENT, f"Invalid protobuf file: '{file}': {error}"
        ) from error
    if not config.prometheus_config.enable:
        return None
    path = config.prometheus_config.path or DEFAULT_PATH
    if not path.startswith("/"):
        raise StatusError(
            Code.INVALID_ARGUMENT,
            f"{file}: the path of prometheus_config must begin with /, got {path!r}",
        )
    return path
