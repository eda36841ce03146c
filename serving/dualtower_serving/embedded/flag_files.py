"""The files that flags name, read before anything is loaded: a wrong one costs no waiting."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from dualtower_serving.embedded import batching_settings, monitoring_settings, tls
from dualtower_serving.embedded.batching_settings import BatchingSettings
from dualtower_serving.embedded.flags import Flags

__all__ = ["FlagFiles", "read_files"]


@dataclass(frozen=True)
class FlagFiles:
    """What the files say.

    Attributes:
        batching: None: requests are not batched.
        tls: None: gRPC without it.
        metrics_path: where Prometheus reads on the REST port; None: nowhere.
    """

    batching: BatchingSettings | None = None
    tls: ssl.SSLContext | None = None
    metrics_path: str | None = None


def read_files(flags: Flags) -> FlagFiles:
    """Reads them all.

    Raises:
        UsageError: a file cannot be read, or is wrong.
        StatusError: likewise.
    """
    batching = None
    if flags.batching_parameters_file:
        batching = batching_settings.read_file(flags.batching_parameters_file)
    elif flags.enable_batching:
        batching = BatchingSettings()
    return FlagFiles(
        batching,
        tls.read_context(flags.ssl_config_file) if flags.ssl_config_file else None,
        monitoring_settings.metrics_path(flags.monitoring_config_file)
        if flags.monitoring_config_file
        else None,
    )
