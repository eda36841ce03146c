"""The flags of tensorflow_model_server: its names, its `--name=value` syntax, its defaults.

A flag that this server implements takes effect. A flag that it does not implement is accepted at
the stock server's default, which changes nothing, and refused at any other value: a setting that is
silently ignored costs a day. An unknown flag is an error that names the nearest one.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields

from dualtower.errors import UsageError

__all__ = ["Flags", "parse", "usage"]


@dataclass(frozen=True)
class Flags:
    """The flags that take effect, with the stock server's defaults."""

    port: int = 8500
    grpc_socket_path: str = ""
    grpc_max_threads: int = 4 * (os.cpu_count() or 1)
    model_name: str = "default"
    model_base_path: str = ""
    model_config_file: str = ""
    model_config_file_poll_wait_seconds: int = 0
    file_system_poll_wait_seconds: int = 1
    allow_version_labels_for_unavailable_models: bool = False
    num_load_threads: int = 0
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    tensorflow_session_parallelism: int = 0
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0
    saved_model_tags: str = "serve"
    enable_model_warmup: bool = True
    num_request_iterations_for_warmup: int = 0
    enable_signature_method_name_check: bool = False
    enable_serialization_as_tensor_content: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError(f"--port must be between 0 and 65535, got {self.port}")
        if self.grpc_max_threads < 1:
            raise UsageError(f"--grpc_max_threads must be positive, got {self.grpc_max_threads}")
        for name in ("max_num_load_retries", "load_retry_interval_micros", "num_load_threads"):
            if getattr(self, name) < 0:
                raise UsageError(f"--{name} must not be negative, got {getattr(self, name)}")
        if not self.model_base_path and not self.model_config_file:
            raise UsageError(
                "no model to serve: give --model_base_path=FOLDER or --model_config_file=FILE"
            )


# the other flags of the stock server, with the one value that this server accepts
_NOT_HERE: dict[str, tuple[str, ...]] = {
    "grpc_channel_arguments": ("",),
    "rest_api_port": ("0",),
    "rest_api_num_threads": (),
    "rest_api_timeout_in_ms": ("30000",),
    "rest_api_enable_cors_support": ("false", "0"),
    "enable_batching": ("false", "0"),
    "batching_parameters_file": ("",),
    "enable_per_model_batching_parameters": ("false", "0"),
    "num_unload_threads": ("0",),
    "flush_filesystem_caches": ("true", "1"),
    "tensorflow_session_config_file": ("",),
    "platform_config_file": ("",),
    "per_process_gpu_memory_fraction": ("0", "0.0"),
    "ssl_config_file": ("",),
    "use_alts_credentials": ("false", "0"),
    "monitoring_config_file": ("",),
    "remove_unused_fields_from_bundle_metagraph": ("true", "1"),
    "prefer_tflite_model": ("false", "0"),
    "num_tflite_pools": (),
    "num_tflite_interpreters_per_pool": ("1",),
    "xla_cpu_compilation_enabled": ("false", "0"),
    "xla_gpu_compilation_enabled": ("false", "0"),
    "enable_profiler": ("true", "1"),
    "thread_pool_factory_config_file": ("",),
    "mixed_precision": ("",),
    "skip_initialize_tpu": ("false", "0"),
    "enable_grpc_healthcheck_service": ("false", "0"),
}
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def parse(arguments: Sequence[str]) -> Flags:
    """The flags of a command line.

    Raises:
        UsageError: an unknown flag, a value that does not fit, or a flag that is not here.
    """
    kinds = {field.name: field.type for field in fields(Flags)}
    values: dict[str, int | bool | str] = {}
    for argument in arguments:
        name, equals, text = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or (name not in kinds and name not in _NOT_HERE):
            raise UsageError(_unknown(argument, [*kinds, *_NOT_HERE]))
        if name in _NOT_HERE:
            _check_not_here(name, text if equals else "true")
        elif kinds[name] == "bool":
            values[name] = _boolean(name, text) if equals else True
        elif not equals:
            raise UsageError(f"--{name} needs a value: --{name}=VALUE")
        else:
            values[name] = _integer(name, text) if kinds[name] == "int" else text
    return Flags(**values)  # type: ignore[arg-type]


def usage() -> str:
    """The flags with their defaults, one a line."""
    lines = ["usage: dualtower-model-server [--flag=value ...]", "", "flags:"]
    for field in fields(Flags):
        default = str(field.default).lower() if field.type == "bool" else str(field.default)
        lines.append(f"    --{field.name}={default}")
    lines += ["", "of tensorflow_model_server, but not of this server:"]
    lines += [f"    --{name}" for name in _NOT_HERE]
    return "\n".join(lines)


def _check_not_here(name: str, text: str) -> None:
    if text.lower() not in _NOT_HERE[name]:
        raise UsageError(
            f"--{name}={text}: this server does not have it; "
            "leave it out, or run tensorflow_model_server"
        )


def _boolean(name: str, text: str) -> bool:
    value = _BOOLEANS.get(text.lower())
    if value is None:
        raise UsageError(f"--{name} must be true or false, got {text!r}")
    return value


def _integer(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"--{name} must be an integer, got {text!r}") from error


def _unknown(argument: str, known: Sequence[str]) -> str:
    name = argument.lstrip("-").partition("=")[0]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean --{near[0]}=VALUE?" if near else "see --help for the flags"
    if not argument.startswith("-"):
        return f"unexpected argument {argument!r}; flags are written --name=value"
    return f"unknown flag {argument!r}; {hint}"
