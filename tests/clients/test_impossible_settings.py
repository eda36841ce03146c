"""Settings that cannot be are refused when they are made, not by gRPC in the middle of a call."""

from __future__ import annotations

import numpy as np
import pytest

from dualtower.errors import UsageError
from dualtower_clients import (
    BalancePolicy,
    CallPolicy,
    ChannelSettings,
    HedgePolicy,
    RetryPolicy,
    TlsSettings,
)

NAN, INF = float("nan"), float("inf")


def refused(kind, **settings) -> str:
    with pytest.raises(UsageError) as raised:
        kind(**settings)
    return str(raised.value)


@pytest.mark.parametrize(
    ("kind", "name", "values"),
    [
        (RetryPolicy, "max_attempts", [2.5, True, "3", None, NAN, -1]),
        (RetryPolicy, "initial_pause_s", [True, "0.1", None, -1]),
        (RetryPolicy, "max_pause_s", [True, "1", None, NAN]),
        (RetryPolicy, "attempt_timeout_s", ["1", True, INF]),
        (RetryPolicy, "throttle_ratio", ["0.1", True, NAN, 0]),
        (HedgePolicy, "percentile", ["95", True, NAN, 101]),
        (HedgePolicy, "min_observations", [2.5, True, "20", None]),
        (HedgePolicy, "window", [NAN, INF, 20.5, "500", None]),
        (HedgePolicy, "max_extra", ["0.1", True, NAN]),
        (BalancePolicy, "pick", [None, 5, ["round_robin"]]),
        (BalancePolicy, "eject_after", [2.5, True, "5", None]),
        (BalancePolicy, "eject_s", ["1", True, NAN]),
        (BalancePolicy, "max_eject_s", ["60", None, INF]),
        (CallPolicy, "retry", [True, 3, HedgePolicy()]),
        (CallPolicy, "hedge", [True, 95.0, RetryPolicy()]),
        (CallPolicy, "balance", [None, True, "round_robin"]),
        (ChannelSettings, "tls", [True, "roots.pem", b"-----BEGIN"]),
        (ChannelSettings, "token", [5, b"secret"]),
        (ChannelSettings, "send_token_without_tls", [1, "no", None]),
        (ChannelSettings, "compression", [None, ["gzip"]]),
        (ChannelSettings, "keep_alive_s", [0.0001, 3e6, "60", True, INF]),
        (ChannelSettings, "keep_alive_timeout_s", [0.0001, 3e6, "60", None]),
        (ChannelSettings, "max_send_bytes", [1.5, 4 << 30, 2**31, "1", True]),
        (ChannelSettings, "max_receive_bytes", [1.5, 4 << 30, 2**31, "1", True]),
        (ChannelSettings, "interceptors", [5, None]),
        (ChannelSettings, "telemetry", [1, None]),
        (
            ChannelSettings,
            "metadata",
            [{"a": "b"}, "ab", ["ab"], [("a",)], [("a", "b", "c")], [5], None, 5, [(5, "b")]],
        ),
        (ChannelSettings, "options", [{"a": 1}, "ab", [("a",)], [5], None, [(5, 1)]]),
        (TlsSettings, "root_certificates", ["-----BEGIN CERTIFICATE-----", 5, b"der"]),
        (TlsSettings, "host_name", [5, b"name"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_setting_is_refused_by_its_name(kind, name, values):
    for value in values:
        said = refused(kind, **{name: value})
        assert said.startswith(f"{name} must"), said


@pytest.mark.parametrize("value", [4 << 30, 2**31, -(2**40)])
def test_options_of_grpc_fit_into_its_counters(value):
    assert "'grpc.x' must fit into 32 bits" in refused(ChannelSettings, options=[("grpc.x", value)])


def test_a_pause_does_not_begin_longer_than_it_may_become():
    said = refused(RetryPolicy, initial_pause_s=2, max_pause_s=1)
    assert said == "initial_pause_s must be at most max_pause_s (1), got 2"
    said = refused(BalancePolicy, eject_s=61)
    assert said == "eject_s must be at most max_eject_s (60.0), got 61"


def test_a_token_is_not_told():
    assert "secret" not in refused(ChannelSettings, token=b"secret")


def test_what_grpc_can_just_count_is_taken(server, client_of):
    settings = ChannelSettings(
        max_send_bytes=2**31 - 1,
        max_receive_bytes=np.int64(2**31 - 1),
        keep_alive_s=2_147_483,
        keep_alive_timeout_s=0.001,
        options=[("grpc.max_metadata_size", 2**31 - 1), ("grpc.primary_user_agent", "shop")],
        metadata=(["tenant", "a"],),
    )
    policy = CallPolicy(
        retry=RetryPolicy(max_attempts=np.int32(2), initial_pause_s=1, max_pause_s=1),
        hedge=HedgePolicy(min_observations=20, window=20),
        balance=BalancePolicy(eject_s=60, max_eject_s=60),
    )
    one = server()
    client_of(one.address, settings=settings, policy=policy).predict("m", {})
    assert one.calls[-1].metadata["tenant"] == "a"
