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


_CPUS = os.cpu_count() or 1
_INT64_MAX = (1 << 63) - 1


@dataclass(frozen=True)
class Flags:
    """The flags that take effect, with the stock server's defaults; those of OWN are ours."""

    port: int = 8500
    grpc_socket_path: str = ""
    grpc_max_threads: int = 4 * _CPUS
    grpc_channel_arguments: str = ""
    rest_api_port: int = 0
    rest_api_num_threads: int = 4 * _CPUS
    rest_api_timeout_in_ms: int = 30_000
    rest_api_enable_cors_support: bool = False
    model_name: str = "default"
    model_base_path: str = ""
    model_config_file: str = ""
    model_config_file_poll_wait_seconds: int = 0
    file_system_poll_wait_seconds: int = 1
    enable_batching: bool = False
    batching_parameters_file: str = ""
    enable_per_model_batching_parameters: bool = False
    allow_version_labels_for_unavailable_models: bool = False
    num_load_threads: int = 0
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    tensorflow_session_parallelism: int = 0
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0
    tensorflow_session_config_file: str = ""
    per_process_gpu_memory_fraction: float = 0.0
    saved_model_tags: str = "serve"
    ssl_config_file: str = ""
    enable_model_warmup: bool = True
    num_request_iterations_for_warmup: int = 0
    monitoring_config_file: str = ""
    enable_signature_method_name_check: bool = False
    enable_grpc_healthcheck_service: bool = False
    enable_serialization_as_tensor_content: bool = False
    max_message_bytes: int = 256 << 20
    max_tensor_bytes: int = 256 << 20
    max_in_flight_bytes: int = 2 << 30
    max_open_calls: int = 1000
    drain_seconds: float = 25.0

    def __post_init__(self) -> None:
        for name in ("port", "rest_api_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise UsageError(f"--{name} must be between 0 and 65535, got {getattr(self, name)}")
        for name in _POSITIVE:
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} must be positive, got {getattr(self, name)}")
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise UsageError(f"--{name} must not be negative, got {getattr(self, name)}")
        if not self.per_process_gpu_memory_fraction <= 1:
            raise UsageError(
                "--per_process_gpu_memory_fraction must be at most 1, "
                f"got {self.per_process_gpu_memory_fraction}"
            )
        if not self.model_base_path and not self.model_config_file:
            raise UsageError(
                "no model to serve: give --model_base_path=FOLDER or --model_config_file=FILE"
            )
        if self.batching_parameters_file and not self.enable_batching:
            raise UsageError(
                "--batching_parameters_file is set and --enable_batching is not; "
                "give both, or leave the file out"
            )

    def channel_arguments(self) -> list[tuple[str, int | str]]:
        """`--grpc_channel_arguments=name=value,name=value`, integers as such.

        Raises:
            UsageError: an entry without a value.
        """
        found: list[tuple[str, int | str]] = []
        for entry in filter(None, self.grpc_channel_arguments.split(",")):
            name, equals, value = entry.partition("=")
            if not equals or not name:
                raise UsageError(
                    f"--grpc_channel_arguments: {entry!r} is no name=value; "
                    "write grpc.name=value,grpc.other=value"
                )
            is_number = value.removeprefix("-").isascii() and value.removeprefix("-").isdigit()
            found.append((name, int(value) if is_number else value))
        return found


OWN = {
    "max_message_bytes": "the largest request; grpc.max_receive_message_length may be set instead",
    "max_tensor_bytes": "the most that a tensor given by fewer values than it has may be filled to",
    "max_in_flight_bytes": "what all requests that are being answered may hold together",
    "max_open_calls": "gRPC calls that are open at a time, waiting ones included",
    "drain_seconds": "how long running calls may take to finish after SIGTERM",
}
_POSITIVE = (
    "grpc_max_threads",
    "rest_api_num_threads",
    "rest_api_timeout_in_ms",
    "max_message_bytes",
    "max_tensor_bytes",
    "max_in_flight_bytes",
    "max_open_calls",
)
_NOT_NEGATIVE = (
    "max_num_load_retries",
    "load_retry_interval_micros",
    "num_load_threads",
    "tensorflow_session_parallelism",
    "tensorflow_intra_op_parallelism",
    "num_request_iterations_for_warmup",
    "per_process_gpu_memory_fraction",
    "drain_seconds",
)

# The other flags of the stock server. What changes nothing here, whatever it is, has no values.
_NOT_HERE: dict[str, tuple[str, ...]] = {
    "platform_config_file": ("",),
    "use_alts_credentials": ("false", "0"),
    "prefer_tflite_model": ("false", "0"),
    "xla_cpu_compilation_enabled": ("false", "0"),
    "xla_gpu_compilation_enabled": ("false", "0"),
    "thread_pool_factory_config_file": ("",),
    "mixed_precision": ("",),
    # versions are unloaded one after the other; files are read once; there is no profiler, no TPU
    # and no TFLite here; a graph is loaded whole
    "num_unload_threads": (),
    "flush_filesystem_caches": (),
    "enable_profiler": (),
    "skip_initialize_tpu": (),
    "num_tflite_pools": (),
    "num_tflite_interpreters_per_pool": (),
    "remove_unused_fields_from_bundle_metagraph": (),
}
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def parse(arguments: Sequence[str]) -> Flags:
    """The flags of a command line.

    Raises:
        UsageError: an unknown flag, a value that does not fit, or a flag that is not here.
    """
    kinds = {field.name: field.type for field in fields(Flags)}
    values: dict[str, int | float | bool | str] = {}
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
            values[name] = _value(name, text, str(kinds[name]))
    return Flags(**values)  # type: ignore[arg-type]


def usage() -> str:
    """The flags with their defaults, one a line."""
    lines = ["usage: dualtower-model-server [--flag=value ...]", "", "flags:"]
    for field in fields(Flags):
        default = str(field.default).lower() if field.type == "bool" else str(field.default)
        if field.name not in OWN:
            lines.append(f"    --{field.name}={default}")
    lines += ["", "flags that tensorflow_model_server does not have:"]
    for name, text in OWN.items():
        lines += [f"    --{name}={getattr(Flags, name)}", f"        {text}"]
    lines += ["", "of tensorflow_model_server, and without effect here:"]
    lines += [f"    --{name}" for name, allowed in _NOT_HERE.items() if not allowed]
    lines += ["", "of tensorflow_model_server, and refused here unless at its default:"]
    lines += [f"    --{name}" for name, allowed in _NOT_HERE.items() if allowed]
    return "\n".join(lines)


def _check_not_here(name: str, text: str) -> None:
    allowed = _NOT_HERE[name]
    if allowed and text.lower() not in allowed:
        raise UsageError(
            f"--{name}={text}: this server does not have it; "
            "leave it out, or run tensorflow_model_server"
        )


def _boolean(name: str, text: str) -> bool:
    value = _BOOLEANS.get(text.lower())
    if value is None:
        raise UsageError(f"--{name} must be true or false, got {text!r}")
    return value


def _value(name: str, text: str, kind: str) -> int | float | str:
    if kind == "str":
        return text
    try:
        number = int(text) if kind == "int" else float(text)
    except ValueError as error:
        what = "an integer" if kind == "int" else "a number"
        raise UsageError(f"--{name} must be {what}, got {text!r}") from error
    if not -_INT64_MAX <= number <= _INT64_MAX:  # nor NaN
        raise UsageError(f"--{name} must fit 64 bits, got {text!r}")
    return number


def _unknown(argument: str, known: Sequence[str]) -> str:
    name = argument.lstrip("-").partition("=")[0]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean --{near[0]}=VALUE?" if near else "see --help for the flags"
    if not argument.startswith("-"):
        return f"unexpected argument {argument!r}; flags are written --name=value"
    return f"unknown flag {argument!r}; {hint}"
