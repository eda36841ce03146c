"""A rollout on a server that asks callers who they are, and a look at it."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
import trustme

DUALTOWER = [sys.executable, "-c", "from dualtower.cli import main; main()"]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DUALTOWER, *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_steps_over_mutual_tls(place, model_server, tmp_path) -> None:
    made = place(1, 2)
    authority = trustme.CA()
    server_pem, client = authority.issue_cert("localhost"), authority.issue_cert("operator")
    (tmp_path / "ssl.config").write_text(
        f"server_key: {json.dumps(server_pem.private_key_pem.bytes().decode())}\n"
        f"server_cert: {json.dumps(server_pem.cert_chain_pems[0].bytes().decode())}\n"
        f"custom_ca: {json.dumps(authority.cert_pem.bytes().decode())}\n"
        "client_verify: true\n"
    )
    authority.cert_pem.write_to_path(str(tmp_path / "roots.pem"))
    client.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    client.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    trusted = ["--root-certificates", tmp_path / "roots.pem"]
    known = [
        *trusted, "--client-certificate", tmp_path / "cert.pem",
        "--client-key", tmp_path / "key.pem",
    ]  # fmt: skip
    server = model_server(*made.server_flags(), f"--ssl_config_file={tmp_path}/ssl.config")
    deadline = time.monotonic() + 120
    while "Running gRPC" not in server.log:
        assert server.process.poll() is None, server.log
        assert time.monotonic() < deadline, server.log
        time.sleep(0.05)

    load = ["rollout", "load", made.path, "--version", "1", "--server", server.address]
    refused = run(*load, "--no-other-models", "--call-timeout-s", "1", *trusted)
    assert refused.returncode == 2
    assert "certificate" in refused.stderr
    requests = tmp_path / "requests.jsonl"
    requests.write_text("".join(f'{{"history": ["item number {n}"]}}\n' for n in range(20)))
    for step in (
        [*load, "--no-other-models"],
        ["rollout", "promote", made.path, "--version", "1", "--skip-shadow", "a test"],
        ["rollout", "load", made.path, "--version", "2"],
        ["rollout", "shadow", made.path, "--requests", requests, "--count", "20",
         "--max-p50-ratio", "100", "--max-p95-ratio", "100", "--min-overlap", "0",
         "--min-item-agreement", "-1",
         "--min-user-agreement", "-1"],
        ["rollout", "promote", made.path],
        ["rollout", "status", made.path],
    ):  # fmt: skip
        done = run(*step, *known)
        assert done.returncode == 0, (step, done.stdout, done.stderr)
    seen = run("status", server.address, "--json", *known)
    assert seen.returncode == 0, seen.stderr
    assert json.loads(seen.stdout)["problems"] == []
    asked = run("recommend", "--address", server.address, "--label", "stable", "-k", "1", "--json",
                *known)  # fmt: skip
    assert json.loads(asked.stdout)["version"] == 2
