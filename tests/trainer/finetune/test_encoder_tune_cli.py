"""`dualtower encoder tune` through the real entry point."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualtower.cli import main
from dualtower_trainer.encoder import Encoder

SETTINGS = (
    "encoder.max_tokens=16", "finetune.steps=3", "finetune.batch_pairs=4", "finetune.mode=lora",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(texts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty people, each with the texts of one kind."""
    folder = tmp_path_factory.mktemp("tune") / "data"
    folder.mkdir()
    random = np.random.default_rng(0)
    users, items = [], []
    for user in range(30):
        for item in random.choice(12, 6, replace=False):
            users.append(f"u{user}")
            items.append(f"i{12 * (user % 3) + item}")
    table = {
        "user_id": users, "item_id": items,
        "timestamp": pa.array(np.arange(len(users)) * 10_000, pa.int64()),
        "weight": pa.array(np.ones(len(users), np.float32)),
    }  # fmt: skip
    pq.write_table(pa.table(table), folder / "interactions.parquet")
    ids = [f"i{row}" for row in range(len(texts))]
    pq.write_table(
        pa.table({"item_id": ids, "text": texts, "blocked": [False] * len(texts)}),
        folder / "items.parquet",
    )
    return folder


@pytest.fixture(scope="module")
def source(encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoder.save(tmp_path_factory.mktemp("source") / "bert")


def run(*arguments: str | Path) -> int:
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    try:
        main(["encoder", "tune", *settings, *map(str, arguments)])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_dry_run_with_the_tiny_encoder_leaves_nothing_beside_the_data(data, capsys) -> None:
    before = sorted(data.parent.rglob("*"))
    assert run("--data", data, "--encoder", "tiny", "--dry-run") == 0
    assert "operations a step" in capsys.readouterr().out
    assert sorted(data.parent.rglob("*")) == before


def test_dry_run_of_nothing_to_tune_is_refused(data, source, capsys) -> None:
    frozen = ("--set", "finetune.mode=frozen")
    assert run("--data", data, "--encoder", source, "--dry-run", *frozen) == 2
    assert "finetune.mode is frozen, so there is nothing to tune" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["items", "histories"])
def test_stdout_is_the_folder(data, source, tmp_path: Path, capsys, kind: str) -> None:
    out = tmp_path / "tuned"
    chosen = ("--set", f"finetune.pairs={kind}")
    assert run("--data", data, "--encoder", source, "--out", out, *chosen) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert Encoder.load(out, 16).sha256 != Encoder.load(source, 16).sha256


def test_distillation_prints_json(data, source, tmp_path: Path, capsys) -> None:
    out = tmp_path / "small"
    arguments = ("--data", data, "--encoder", source, "--distil-from", source, "--out", out)
    assert run(*arguments, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["folder"] == str(out)
    assert facts["teacher_sha256"] == Encoder.load(source, 16).sha256
    assert len(facts["losses"]) == 3


def test_dry_run_writes_nothing(data, source, tmp_path: Path, capsys) -> None:
    out = tmp_path / "tuned"
    assert run("--data", data, "--encoder", source, "--out", out, "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert 0 < plan["parameters_trainable"] < plan["parameters_total"]
    assert plan["flops_per_step"] > 0
    assert not out.exists()
    assert run("--data", data, "--encoder", source, "--dry-run") == 0
    assert "operations a step" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing option '--out'"),
        (("--out", "x", "--set", "finetune.mode=frozen"), "there is nothing to tune"),
        (("--out", "x", "--set", "finetune.stps=3"), "did you mean 'steps'"),
        (("--out", "x", "--encoder", "/does/not/exist"), "neither"),
    ],
)
def test_wrong_use_is_exit_2(data, source, capsys, arguments, message: str) -> None:
    given = () if "--encoder" in arguments else ("--encoder", source)
    assert run("--data", data, *given, *arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_help_shows_an_example(capsys) -> None:
    assert run("--help") == 0
    assert "dualtower encoder tune --data data --out tuned" in capsys.readouterr().out
