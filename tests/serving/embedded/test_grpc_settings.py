"""Flags and gRPC's channel arguments as limits of the port."""

from __future__ import annotations

import logging

import pytest

from dualtower.errors import UsageError
from dualtower_serving.embedded import flags
from dualtower_serving.embedded.grpc_settings import settings_of


def settings(*arguments: str):
    return settings_of(flags.parse(["--model_base_path=/m", *arguments]))


def test_the_flags_are_the_limits() -> None:
    found = settings(
        "--max_open_calls=70", "--max_message_bytes=5000", "--max_in_flight_bytes=9000"
    )
    assert (found.max_calls, found.max_message_bytes, found.max_held_bytes) == (70, 5000, 9000)
    assert found.http2.streams == 140
    assert found.http2.max_age_s is None


def test_one_message_fits_always() -> None:
    found = settings("--max_message_bytes=5000", "--max_in_flight_bytes=10")
    assert found.max_held_bytes == 5000


def test_channel_arguments_win_over_flags() -> None:
    found = settings(
        "--max_message_bytes=5000",
        "--grpc_channel_arguments=grpc.max_receive_message_length=6000,"
        "grpc.max_concurrent_streams=3,grpc.max_connection_age_ms=1500,"
        "grpc.max_connection_age_grace_ms=2500,grpc.max_connection_idle_ms=500,"
        "grpc.keepalive_time_ms=250,grpc.keepalive_timeout_ms=100",
    )
    assert found.max_message_bytes == 6000
    limits = found.http2
    assert (limits.streams, limits.max_age_s, limits.max_age_grace_s) == (3, 1.5, 2.5)
    assert (limits.max_idle_s, limits.keepalive_s, limits.keepalive_timeout_s) == (0.5, 0.25, 0.1)


def test_numbers_that_mean_never_or_unlimited() -> None:
    found = settings(
        "--grpc_channel_arguments=grpc.max_receive_message_length=-1,"
        "grpc.max_connection_age_ms=2147483647"
    )
    assert found.max_message_bytes == (1 << 31) - 1
    assert found.http2.max_age_s is None


def test_an_argument_without_a_meaning_is_logged(caplog) -> None:
    with caplog.at_level(logging.WARNING):
        assert settings("--grpc_channel_arguments=grpc.so_reuseport=0") == settings()
    assert "grpc.so_reuseport takes no effect here" in caplog.text


@pytest.mark.parametrize("value", ["0", "-5", "soon"])
def test_a_wrong_value_is_named(value) -> None:
    with pytest.raises(UsageError, match=f"max_connection_age_ms takes a whole number.*{value}"):
        settings(f"--grpc_channel_arguments=grpc.max_connection_age_ms={value}")
