"""What all commands share: tokens, fingerprints, addresses; and errors in the words of a shell."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from commands import in_process

from dualtower_clients import Recommender, RequestError
from dualtower_clients.testing import FakeServer

TEXTS = ["rye bread", "white bread", "oat milk"]


@pytest.fixture(scope="module")
def shop() -> Iterator[FakeServer]:
    with FakeServer.with_bundle(TEXTS) as server:
        yield server


@pytest.fixture(scope="module")
def fingerprint(shop) -> str:
    with Recommender(shop.address) as recommender:
        return recommender.recommend([]).fingerprint


@pytest.fixture
def asked(shop, tmp_path) -> dict[str, Callable[..., object]]:
    """Each command that asks a bundle, with arguments that do."""
    (tmp_path / "items.jsonl").write_text('{"item_id": "a", "text": "rye bread"}\n')
    return {
        "recommend": ["recommend", "--history", "rye bread", "--address", shop.address],
        "predict": ["predict", "item_tower", "--input", 'text=["a"]', "--address", shop.address],
        "embed": [
            "embed", "--in", str(tmp_path / "items.jsonl"), "--out", str(tmp_path / "out"),
            "--address", shop.address, "--patience-s", "5",
        ],
        "status": ["status", shop.address],
    }  # fmt: skip


@pytest.mark.parametrize("command", ["recommend", "predict", "embed", "status"])
def test_a_token_without_tls_needs_an_option(asked, command, monkeypatch):
    monkeypatch.setenv("DUALTOWER_TOKEN", "secret")
    done = in_process(*asked[command])
    assert done.returncode == 2
    assert "$DUALTOWER_TOKEN would go over a connection without TLS" in done.stderr
    assert "--send-token-without-tls" in done.stderr
    assert "send_token_without_tls" not in done.stderr
    assert "secret" not in done.stderr
    done = in_process(*asked[command], "--send-token-without-tls", "--json")
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("DUALTOWER_TOKEN", "")  # is none
    assert in_process(*asked["recommend"]).returncode == 0


def test_the_token_is_sent_where_that_is_allowed(shop, asked, tmp_path):
    path = tmp_path / "token"
    path.write_text("secret\n")
    done = in_process(*asked["recommend"], "--token-file", str(path))
    assert f"--token-file {path}" in done.stderr
    in_process(*asked["recommend"], "--token-file", str(path), "--send-token-without-tls")
    assert shop.calls[-1].metadata["authorization"] == "Bearer secret"


@pytest.mark.parametrize("command", ["recommend", "embed"])
@pytest.mark.parametrize("digits", [12, 13, 64])
def test_the_first_digits_of_a_fingerprint_will_do(asked, fingerprint, command, digits):
    given = fingerprint[:digits]
    done = in_process(*asked[command], "--expect-fingerprint", given.upper())
    assert done.returncode == 0, done.stderr
    assert fingerprint[:12] in done.stdout


@pytest.mark.parametrize("command", ["recommend", "embed"])
@pytest.mark.parametrize("digits", [12, 64])
def test_another_fingerprint_is_refused(asked, fingerprint, command, digits):
    other = ("0" if fingerprint[0] != "0" else "1") * digits
    done = in_process(*asked[command], "--expect-fingerprint", other)
    assert done.returncode == 2
    assert "fingerprints differ" in done.stderr
    assert other in done.stderr
    assert fingerprint in done.stderr


@pytest.mark.parametrize("given", ["", "0123456789a", "0" * 65, "not a fingerprint"])
def test_what_is_no_fingerprint_is_named(asked, given):
    for command in ("recommend", "embed"):
        done = in_process(*asked[command], "--expect-fingerprint", given)
        assert done.returncode == 2
        assert f"12 to 64 hexadecimal digits, the first ones or all, got {given!r}" in done.stderr


def test_status_takes_an_address_as_other_commands_do(shop):
    by_option = in_process("status", "--address", shop.address, "--json")
    by_argument = in_process("status", shop.address, "--json")
    assert by_option.returncode == by_argument.returncode == 0
    assert json.loads(by_option.stdout) == json.loads(by_argument.stdout)
    both = in_process("status", shop.address, "--address", shop.address)
    assert both.returncode == 2
    assert "not both" in both.stderr


def test_an_unknown_label_is_about_the_label(shop, client_of):
    with pytest.raises(RequestError, match="no version of the model has this label") as raised:
        client_of(shop.address).predict("item_tower", {"text": ["a"]}, label="canary")
    assert "give another label=" in str(raised.value)
    assert "inputs" not in str(raised.value)
    assert raised.value.server_message == "Unrecognized servable version label: canary"


def test_errors_name_a_command(shop):
    done = in_process("predict", "spam", "--address", shop.address)
    assert "`dualtower status`" in done.stderr
