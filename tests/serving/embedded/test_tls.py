"""TLS and mutual TLS, with the right, wrong, expired and missing certificates."""

from __future__ import annotations

import datetime
import json
import time
from pathlib import Path

import grpc
import pytest
import trustme

from dualtower.errors import UsageError
from dualtower_clients.proto import management_pb2
from dualtower_serving.embedded.tls import read_context

STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)


def config_text(authority: trustme.CA, server: trustme.LeafCert, *, mutual: bool) -> str:
    # JSON's strings are those of protobuf's text format as well
    lines = [
        f"server_key: {json.dumps(server.private_key_pem.bytes().decode())}",
        f"server_cert: {json.dumps(server.cert_chain_pems[0].bytes().decode())}",
    ]
    if mutual:
        lines.append(f"custom_ca: {json.dumps(authority.cert_pem.bytes().decode())}")
        lines.append("client_verify: true")
    return "\n".join(lines)


def ask(server, credentials: grpc.ChannelCredentials | None) -> str:
    channel = (
        grpc.secure_channel(server.address, credentials)
        if credentials
        else grpc.insecure_channel(server.address)
    )
    request = management_pb2.GetModelStatusRequest()
    request.model_spec.name = "slow"
    with channel:
        try:
            channel.unary_unary(STATUS)(request.SerializeToString(), timeout=5)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def trusting(authority: trustme.CA, client: trustme.LeafCert | None = None):
    return grpc.ssl_channel_credentials(
        authority.cert_pem.bytes(),
        client.private_key_pem.bytes() if client else None,
        client.cert_chain_pems[0].bytes() if client else None,
    )


def start(model_server, small_models: Path, tmp_path: Path, text: str, ready: str):
    path = tmp_path / "ssl.config"
    path.write_text(text)
    server = model_server(
        "--model_name=slow",
        f"--model_base_path={small_models}/slow",
        f"--ssl_config_file={path}",
    )
    deadline = time.monotonic() + 120
    while ready not in server.log:
        assert server.process.poll() is None, server.log
        assert time.monotonic() < deadline, server.log
        time.sleep(0.05)
    return server


def test_a_server_that_shows_who_it_is(model_server, small_models, tmp_path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    text = config_text(authority, authority.issue_cert("localhost"), mutual=False)
    server = start(model_server, small_models, tmp_path, text, "Running gRPC")
    assert ask(server, trusting(authority)) == "OK"
    assert ask(server, trusting(stranger)) == "UNAVAILABLE"
    assert ask(server, None) == "UNAVAILABLE"
    assert "PRIVATE KEY" not in server.log


def test_a_server_that_asks_who_you_are(model_server, small_models, tmp_path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    text = config_text(authority, authority.issue_cert("localhost"), mutual=True)
    server = start(model_server, small_models, tmp_path, text, "Running gRPC")
    expired = authority.issue_cert("old", not_after=LONG_AGO)
    outcomes = {
        "known": ask(server, trusting(authority, authority.issue_cert("client"))),
        "missing": ask(server, trusting(authority)),
        "of a stranger": ask(server, trusting(authority, stranger.issue_cert("client"))),
        "expired": ask(server, trusting(authority, expired)),
        "plain": ask(server, None),
    }
    assert outcomes.pop("known") == "OK"
    assert set(outcomes.values()) == {"UNAVAILABLE"}


def test_clients_do_not_trust_an_expired_server(model_server, small_models, tmp_path) -> None:
    authority = trustme.CA()
    text = config_text(
        authority, authority.issue_cert("localhost", not_after=LONG_AGO), mutual=False
    )
    server = start(model_server, small_models, tmp_path, text, "Running gRPC")
    assert ask(server, trusting(authority)) == "UNAVAILABLE"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "server_key must hold a PEM text.*it is empty"),
        ('server_key: "/etc/key.pem"', "server_key must hold a PEM text.*not a path"),
        ('server_key: "SECRET', r"no SSLConfig at 1:\d+"),
        ("sever_key: 'x'", r"no SSLConfig at 1:\d+"),
    ],
)
def test_a_file_that_is_wrong_says_where_and_quotes_nothing(tmp_path, text, message) -> None:
    path = tmp_path / "ssl.config"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        read_context(str(path))
    assert "SECRET" not in str(caught.value)


def test_a_key_of_another_certificate_is_named(tmp_path) -> None:
    authority = trustme.CA()
    one, other = authority.issue_cert("localhost"), authority.issue_cert("localhost")
    path = tmp_path / "ssl.config"
    text = config_text(authority, one, mutual=False).splitlines()[0]
    path.write_text(text + "\n" + config_text(authority, other, mutual=False).splitlines()[1])
    with pytest.raises(UsageError, match="does server_key belong to server_cert"):
        read_context(str(path))


def test_a_certificate_that_is_cut_off_is_named(tmp_path) -> None:
    path = tmp_path / "ssl.config"
    text = config_text(trustme.CA(), trustme.CA().issue_cert("localhost"), mutual=False)
    path.write_text(text.replace("M", "!"))
    with pytest.raises(UsageError, match="cannot use its key and certificates"):
        read_context(str(path))


def test_client_verify_needs_somebody_to_trust(tmp_path) -> None:
    authority = trustme.CA()
    path = tmp_path / "ssl.config"
    text = config_text(authority, authority.issue_cert("localhost"), mutual=False)
    path.write_text(text + "\nclient_verify: true")
    with pytest.raises(UsageError, match="custom_ca must hold"):
        read_context(str(path))


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="cannot read the SSL config file /no/such"):
        read_context("/no/such")
