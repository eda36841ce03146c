"""`dualtower embed` in processes of its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import grpc
import trustme
from bulk_runs import check_whole, items, vectors, write_jsonl, write_parquet

COMMAND = "from dualtower.cli import main; main()"


def embed(*arguments, code=COMMAND, **settings):
    command = [sys.executable, "-W", "error", "-c", code, "embed", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **settings)


def test_a_summary_for_people(served, tmp_path):
    source = write_jsonl(tmp_path / "items.jsonl", [*items(10), ("i10", "")])
    out = tmp_path / "out"
    done = embed("--address", served.address, "--in", source, "--out", out, "--shard-rows", 4)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"10 vectors of 4 in 3 shards: {out}"
    assert "rows/s" in lines[1]
    assert lines[2].startswith("item_tower version 1 of ")
    assert lines[3] == "put aside: 1 × text is empty"
    check_whole(out)


def test_json_for_programs(served, tmp_path):
    source = write_parquet(tmp_path / "items.parquet", items(10))
    arguments = ["--address", served.address, "--in", source, "--out", tmp_path / "out", "--json"]
    facts = [json.loads(embed(*arguments).stdout) for _ in range(2)]
    for one in facts:
        assert (one["rows"], one["shards"], one["dim"]) == (10, 1, 4)
        assert one["out"] == str(tmp_path / "out")
        assert len(one["fingerprint"]) == 64
    assert [one["resumed_rows"] for one in facts] == [0, 10]


def test_users_in_a_command(served, tmp_path):
    (tmp_path / "users.jsonl").write_text('{"user": "u", "seen": ["rye bread"]}\n')
    done = embed(
        "--address", served.address, "--model", "user_tower", "--id-column", "user",
        "--history-column", "seen", "--in", tmp_path / "users.jsonl", "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert vectors(tmp_path / "out", "user")[0] == ["u"]


def test_another_run_at_the_folder_is_exit_code_two(served, tmp_path):
    source = write_parquet(tmp_path / "items.parquet", items(10))
    arguments = ["--address", served.address, "--in", source, "--out", tmp_path / "out"]
    assert embed(*arguments).returncode == 0
    done = embed(*arguments, "--shard-rows", 3)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "shard_rows: 100000 then, 3 now" in done.stderr
    assert embed(*arguments, "--shard-rows", 3, "--restart").returncode == 0


def test_a_misspelt_column_says_how_to_name_it_and_leaves_nothing_in_the_way(served, tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\na,rye bread\n")
    arguments = [
        "--address", served.address, "--in", tmp_path / "items.csv", "--out", tmp_path / "out",
    ]  # fmt: skip
    done = embed(*arguments)
    assert done.returncode == 2
    assert "no column 'text', only item_id, title" in done.stderr
    assert "--text-column" in done.stderr
    done = embed(*arguments, "--text-column", "title")
    assert done.returncode == 0, done.stderr
    assert vectors(tmp_path / "out")[0] == ["a"]


def test_a_server_of_another_bundle_is_exit_code_two(served, tmp_path):
    source = write_parquet(tmp_path / "items.parquet", items(10))
    done = embed(
        "--address", served.address, "--in", source, "--out", tmp_path / "out",
        "--expect-fingerprint", "0" * 64,
    )  # fmt: skip
    assert done.returncode == 2
    assert "fingerprints differ" in done.stderr


def test_a_full_disk_is_exit_code_two_and_the_run_goes_on_later(served, tmp_path):
    source = write_parquet(tmp_path / "items.parquet", items(4000))
    arguments = ["--address", served.address, "--in", source, "--out", tmp_path / "out"]
    arguments += ["--shard-rows", 1500]
    limit = (50_000, 50_000)  # the index of ids comes to more
    done = embed(*arguments, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    assert done.returncode == 2
    assert "`df -h" in done.stderr
    assert not list((tmp_path / "out").glob("*.partial"))
    done = embed(*arguments)
    assert done.returncode == 0, done.stderr
    assert vectors(tmp_path / "out")[0] == [f"i{n}" for n in range(4000)]
    check_whole(tmp_path / "out")


def test_without_pyarrow_the_extra_is_named(tmp_path):
    source = write_jsonl(tmp_path / "items.jsonl", items(1))
    code = f"import sys; sys.modules['pyarrow'] = None; {COMMAND}"
    done = embed("--in", source, "--out", tmp_path / "out", code=code)
    assert done.returncode == 2
    assert "pip install 'dualtower[bulk]'" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_command_imports_no_tensorflow_and_pyarrow_only_to_run():
    code = "import sys, dualtower_clients.bulk.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"tensorflow", "pyarrow", "rich"} & set(done.stdout.split())


def test_a_token_without_tls_and_a_file_that_is_missing_are_refused(tmp_path):
    (tmp_path / "token").write_text("secret\n")
    source = write_jsonl(tmp_path / "items.jsonl", items(1))
    arguments = ["--in", source, "--out", tmp_path / "out"]
    done = embed(*arguments, "--token-file", tmp_path / "token")
    assert (done.returncode, "without TLS" in done.stderr) == (2, True)
    assert "secret" not in done.stderr
    done = embed(*arguments, "--root-certificates", tmp_path / "none.pem")
    assert (done.returncode, "none.pem" in done.stderr) == (2, True)


def test_tls_and_a_token_go_with_every_call(relay, tmp_path):
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    pair = (leaf.private_key_pem.bytes(), leaf.cert_chain_pems[0].bytes())
    server = relay(credentials=grpc.ssl_server_credentials([pair]))
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "token").write_text("secret\n")
    source = write_parquet(tmp_path / "items.parquet", items(10))
    done = embed(
        "--address", server.address, "--in", source, "--out", tmp_path / "out",
        "--root-certificates", tmp_path / "ca.pem", "--token-file", tmp_path / "token",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {one["authorization"] for one in server.metadata} == {"Bearer secret"}
    assert len(server.metadata) == server.described + server.embedded


def test_help_has_an_example():
    assert "Example:" in embed("--help").stdout
