"""TLS of clients: what is right works, and what is wrong is named, with what to do."""

from __future__ import annotations

import datetime
import json

import grpc
import pytest
import trustme
from serving_clients import predicted

from dualtower.errors import UsageError
from dualtower_clients import (
    AccessDenied,
    ChannelSettings,
    ServerUnreachable,
    ServingClient,
    TlsError,
    TlsSettings,
    _waiting,
)
from dualtower_clients._calls import CallFacts, Outcome
from dualtower_clients._failure import Failures
from dualtower_clients._tls import Look, look_at
from dualtower_clients._waiting import Waiting
from dualtower_clients.testing import Wire
from dualtower_serving.launch import free_port

LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def key_and_chain(certificate: trustme.LeafCert) -> tuple[bytes, bytes]:
    return certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes()


def of_server(certificate: trustme.LeafCert, client_authority: trustme.CA | None = None):
    root = client_authority.cert_pem.bytes() if client_authority else None
    return grpc.ssl_server_credentials([key_and_chain(certificate)], root, root is not None)


def trusting(
    authority: trustme.CA, client: trustme.LeafCert | None = None, host_name: str | None = None
) -> ChannelSettings:
    key, chain = key_and_chain(client) if client else (None, None)
    return ChannelSettings(
        tls=TlsSettings(
            root_certificates=authority.cert_pem.bytes(),
            client_certificate=chain,
            client_key=key,
            host_name=host_name,
        )
    )


def test_a_server_that_is_trusted(server, client_of, authority):
    one = server(credentials=of_server(authority.issue_cert("127.0.0.1")))
    client_of(one.address, settings=trusting(authority)).predict("m", {})


def test_a_host_name_in_place_of_the_address(server, client_of, authority):
    one = server(credentials=of_server(authority.issue_cert("models.example.org")))
    settings = trusting(authority, host_name="models.example.org")
    client_of(one.address, settings=settings).predict("m", {})


def test_a_client_that_shows_its_certificate(server, client_of, authority):
    one = server(credentials=of_server(authority.issue_cert("127.0.0.1"), authority))
    client = client_of(one.address, settings=trusting(authority, authority.issue_cert("client")))
    client.predict("m", {})


@pytest.mark.parametrize(
    ("case", "said", "advice"),
    [
        ("unknown authority", "not trusted", "root_certificates"),
        ("wrong host", "another host name", "host_name"),
        ("expired server", "has expired", "clocks"),
        ("no client certificate", "wants a certificate of the client", "client_certificate"),
        ("client of a stranger", "does not accept the client's certificate", "authority"),
        ("plain to TLS", "wants TLS", r"ChannelSettings\(tls="),
        ("plain to mutual TLS", "wants TLS", r"ChannelSettings\(tls="),
        ("TLS to plain", "does not speak TLS", "leave out tls"),
    ],
)
def test_what_is_wrong_is_named(server, client_of, authority, case, said, advice):
    stranger = trustme.CA()
    right = authority.issue_cert("127.0.0.1")
    credentials = {
        "wrong host": of_server(authority.issue_cert("models.example.org")),
        "expired server": of_server(authority.issue_cert("127.0.0.1", not_after=LONG_AGO)),
        "no client certificate": of_server(right, authority),
        "client of a stranger": of_server(right, authority),
        "plain to mutual TLS": of_server(right, authority),
        "TLS to plain": None,
    }.get(case, of_server(right))
    settings = {
        "unknown authority": trusting(stranger),
        "client of a stranger": trusting(authority, stranger.issue_cert("client")),
        "plain to TLS": ChannelSettings(),
        "plain to mutual TLS": ChannelSettings(),
    }.get(case, trusting(authority))
    one = server(credentials=credentials)
    client = client_of(one.address, settings=settings)
    for _ in range(2):  # gRPC's words differ between the first call and those after it
        with pytest.raises(TlsError, match=f"{said}.*{advice}") as caught:
            client.predict("m", {}, timeout_s=20)
        assert not caught.value.retryable
        assert caught.value.address == one.address
    assert not predicted(one)


NO_PEM = b"-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    "broken", [{"root_certificates": NO_PEM}, {"client_key": NO_PEM}, {"client_key": None}]
)
def test_what_the_client_itself_shows_cannot_be_used(server, client_of, authority, broken):
    mine, foreign = authority.issue_cert("client"), authority.issue_cert("another")
    given = {
        "root_certificates": authority.cert_pem.bytes(),
        "client_certificate": mine.cert_chain_pems[0].bytes(),
        "client_key": mine.private_key_pem.bytes(),
    }
    given |= {name: value or foreign.private_key_pem.bytes() for name, value in broken.items()}
    one = server(credentials=of_server(authority.issue_cert("127.0.0.1"), authority))
    client = client_of(one.address, settings=ChannelSettings(tls=TlsSettings(**given)))
    with pytest.raises(TlsError, match=r"cannot be used.*PEM") as caught:
        client.predict("m", {}, timeout_s=20)
    assert caught.value.attempts == 1


def test_nobody_there_is_no_matter_of_tls(client_of, authority):
    address = f"127.0.0.1:{free_port()}"
    for settings in (ChannelSettings(), trusting(authority)):
        with pytest.raises(ServerUnreachable):
            client_of(address, settings=settings).predict("m", {})


def test_a_server_that_hangs_up_is_looked_at_once_however_many_calls_fail(server):
    with Wire(server().address) as wire:
        wire.hang_up()
        facts = CallFacts(wire.address, "m", 10.0)
        closed = Outcome(None, grpc.StatusCode.UNAVAILABLE, "failed to connect: Socket closed")
        failures = Failures(None)
        for _ in range(20):
            assert type(failures.named(closed, facts, left_s=5)) is ServerUnreachable
        assert wire.opened == 1


def test_waiting_is_not_ended_by_a_server_that_comes_up_between_a_refusal_and_the_look(monkeypatch):
    """gRPC was refused, the look finds who hangs up: whether it stays so tells."""
    words = {"address": "localhost:1", "model": "m"}
    refused = TlsError("hangs up", server_message="last error: Connection refused", **words)
    described = TlsError("expired", server_message="certificate has expired", **words)
    waiting = Waiting(["m"], address="localhost:1", timeout_s=20)
    with pytest.raises(TlsError, match="expired"):
        waiting.named_tls(described)
    waiting.named_tls(refused)
    waiting.named_tls(refused)
    monkeypatch.setattr(_waiting, "_DOUBT_S", 0.0)
    waiting = Waiting(["m"], address="localhost:1", timeout_s=20)
    waiting.named_tls(refused)
    with pytest.raises(TlsError, match="hangs up"):
        waiting.named_tls(refused)


def test_nobody_is_looked_at_when_the_time_is_over():
    assert look_at("127.0.0.1:1", timeout_s=0) is Look.NO_TLS
    assert look_at("unix:/nowhere", timeout_s=5) is Look.NO_TLS
    assert look_at("dns:///localhost:1", timeout_s=5) is Look.NO_TLS


def test_a_model_server_with_mutual_tls(model_server, tmp_path, authority, bundles):
    key, chain = key_and_chain(authority.issue_cert("localhost"))
    lines = {"server_key": key, "server_cert": chain, "custom_ca": authority.cert_pem.bytes()}
    config = tmp_path / "ssl.config"
    config.write_text(
        "".join(f"{name}: {json.dumps(text.decode())}\n" for name, text in lines.items())
        + "client_verify: true\n"
    )
    one = model_server(
        "--model_name=item_tower",
        f"--model_base_path={bundles['a1'] / 'serving' / 'item_tower'}",
        f"--ssl_config_file={config}",
    )
    with ServingClient(
        one.address, settings=trusting(authority, authority.issue_cert("client"))
    ) as client:
        client.wait_until_available(["item_tower"], timeout_s=120)
        assert client.predict("item_tower", {"text": ["a"]}).version == 1
    with (
        ServingClient(one.address, settings=trusting(authority)) as client,
        pytest.raises(TlsError, match="wants a certificate of the client"),
    ):
        client.predict("item_tower", {"text": ["a"]})


def test_a_token_goes_over_tls(server, client_of, authority):
    one = server(credentials=of_server(authority.issue_cert("127.0.0.1")))
    tls = trusting(authority).tls
    client_of(one.address, settings=ChannelSettings(tls=tls, token="abc")).predict("m", {})
    assert one.calls[-1].metadata["authorization"] == "Bearer abc"


def test_a_token_is_renewed_for_each_attempt(server, client_of):
    one = server()
    tokens = iter(["first", "second"])
    settings = ChannelSettings(token=lambda: next(tokens), send_token_without_tls=True)
    client = client_of(one.address, settings=settings)
    for want in ("first", "second"):
        client.predict("m", {})
        assert one.calls[-1].metadata["authorization"] == f"Bearer {want}"


@pytest.mark.parametrize("token", [lambda: 1 / 0, lambda: None, lambda: "a\nb", "é"])
def test_a_token_that_cannot_be_had_or_sent(server, client_of, token):
    one = server()
    settings = ChannelSettings(token=token, send_token_without_tls=True)
    with pytest.raises(AccessDenied, match="token"):
        client_of(one.address, settings=settings).predict("m", {})
    assert not one.calls


def test_a_token_without_tls_has_to_be_meant():
    with pytest.raises(UsageError, match="send_token_without_tls=True"):
        ChannelSettings(token="abc")


def test_secrets_are_not_printed(authority):
    key, chain = key_and_chain(authority.issue_cert("client"))
    settings = ChannelSettings(
        tls=TlsSettings(client_certificate=chain, client_key=key), token="a-secret"
    )
    assert "a-secret" not in repr(settings)
    assert "PRIVATE KEY" not in repr(settings)


def test_files_of_certificates(authority, tmp_path):
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.cert_pem.bytes())
    tls = TlsSettings.from_files(root_certificates=path)
    assert tls.root_certificates == authority.cert_pem.bytes()
    with pytest.raises(UsageError, match=r"nowhere\.pem: No such file"):
        TlsSettings.from_files(root_certificates=tmp_path / "nowhere.pem")
    with pytest.raises(UsageError, match="PEM text"):
        TlsSettings(root_certificates=b"/etc/ca.pem")
    with pytest.raises(UsageError, match="together"):
        TlsSettings(client_certificate=authority.cert_pem.bytes())
