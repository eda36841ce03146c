"""Flags: the stock names and values, and no silence about those that have no effect here."""

from __future__ import annotations

import pytest

from dualtower.errors import UsageError
from dualtower_serving.embedded import flags

MODEL = "--model_base_path=/m"


def test_defaults_are_those_of_the_stock_server():
    parsed = flags.parse([MODEL])
    assert (parsed.port, parsed.model_name, parsed.max_num_load_retries) == (8500, "default", 5)
    assert parsed.enable_model_warmup is True
    assert parsed.load_retry_interval_micros == 60_000_000


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("--port=1234", "port", 1234),
        ("--model_name=", "model_name", ""),
        ("--model_name=a=b", "model_name", "a=b"),
        ("--enable_model_warmup=false", "enable_model_warmup", False),
        ("--enable_model_warmup=0", "enable_model_warmup", False),
        ("--enable_signature_method_name_check", "enable_signature_method_name_check", True),
        ("--per_process_gpu_memory_fraction=0.25", "per_process_gpu_memory_fraction", 0.25),
        ("--file_system_poll_wait_seconds=-1", "file_system_poll_wait_seconds", -1),
    ],
)
def test_values(text, name, value):
    assert getattr(flags.parse([MODEL, text]), name) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--modle_name=m", "did you mean --model_name"),
        ("--no_such_flag=1", "unknown flag '--no_such_flag=1'"),
        ("serve", "flags are written --name=value"),
        ("--port", "needs a value"),
        ("--port=abc", "must be an integer, got 'abc'"),
        ("--port=70000", "between 0 and 65535"),
        ("--enable_model_warmup=perhaps", "true or false, got 'perhaps'"),
        ("--grpc_max_threads=0", "must be positive"),
        ("--rest_api_port=-1", "between 0 and 65535"),
        ("--max_open_calls=99999999999999999999", "must fit 64 bits"),
        ("--drain_seconds=nan", "must fit 64 bits"),
        ("--per_process_gpu_memory_fraction=1.5", "at most 1"),
        ("--batching_parameters_file=/x", "--enable_batching is not"),
        ("--max_num_load_retries=-1", "must not be negative"),
    ],
)
def test_wrong_ones_say_what_is_right(text, message):
    with pytest.raises(UsageError, match=message):
        flags.parse([MODEL, text])


@pytest.mark.parametrize(
    "text",
    [
        "--use_alts_credentials",
        "--platform_config_file=/x",
        "--mixed_precision=bfloat16",
        "--xla_cpu_compilation_enabled=1",
    ],
)
def test_what_this_server_lacks_is_refused(text):
    with pytest.raises(UsageError, match="tensorflow_model_server"):
        flags.parse([MODEL, text])


@pytest.mark.parametrize(
    "text",
    [
        "--use_alts_credentials=false",
        "--mixed_precision=",
        "--enable_profiler=0",
        "--num_tflite_pools=7",
        "--flush_filesystem_caches=false",
    ],
)
def test_but_not_at_the_value_that_changes_nothing(text):
    assert flags.parse([MODEL, text]) == flags.parse([MODEL])


def test_channel_arguments():
    parsed = flags.parse([MODEL, "--grpc_channel_arguments=grpc.a=5,grpc.b=x=y,grpc.c=-1"])
    assert parsed.channel_arguments() == [("grpc.a", 5), ("grpc.b", "x=y"), ("grpc.c", -1)]
    with pytest.raises(UsageError, match=r"'grpc\.a' is no name=value"):
        flags.parse([MODEL, "--grpc_channel_arguments=grpc.a"]).channel_arguments()


def test_a_model_is_needed():
    with pytest.raises(UsageError, match="model_base_path"):
        flags.parse([])


def test_the_usage_names_every_flag():
    text = flags.usage()
    for name in ("port=8500", "enable_model_warmup=true", "enable_batching", "rest_api_port"):
        assert f"--{name}" in text
