"""`dualtower bench noise`: noise in the training alone, every method on the same clean targets."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from dualtower.cli import main
from dualtower_benchmarks.noise.table import noise_tables
from dualtower_benchmarks.schema.layout import schema_of
from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.bert_weights import expected_shapes

MODEL = BertConfig(
    vocab_size=18, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=32, max_position_embeddings=8,
)  # fmt: skip
SETTINGS = (
    "encoder.max_tokens=6", "model.dim=24", "model.hidden_units=8", "model.history_items=16",
    "closed_form.regularisation=30", "closed_form.sharpening=0", "closed_form.half_lives=0.1",
    "closed_form.trend_powers=0.5", "closed_form.freshness=0", "train.initial=random",
    "train.steps=10", "train.evaluate_every=5", "train.users_per_step=32",
    "train.targets_per_user=4", "train.uniform_negatives=64", "train.fresh_share=0",
    "train.learning_rate=0.01", "train.own_rate=1", "train.user_rate=1", "train.id_dropout=0",
)  # fmt: skip


def write_encoder(folder: Path) -> Path:
    """A BERT of random weights whose vocabulary is the digits."""
    random = np.random.default_rng(0)
    folder.mkdir()
    tensors = {
        name: (name.endswith("LayerNorm.weight") + random.normal(0, 0.3, shape)).astype(np.float32)
        for name, shape in expected_shapes(MODEL).items()
    }
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "##s", "item", *"0123456789"]
    (folder / "config.json").write_text(MODEL.to_json())
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    save_file(tensors, folder / "model.safetensors")
    return folder


def write_shop(folder: Path) -> Path:
    """90 items of three kinds, and 100 people who take mostly one kind."""
    random = np.random.default_rng(1)
    folder.mkdir()
    ids = [f"{row:02d}" for row in range(90)]
    users = np.repeat(np.arange(100), 18)
    kinds = np.where(random.random(1800) < 0.95, users % 3, random.integers(0, 3, 1800))
    items = kinds * 30 + random.integers(0, 30, 1800)
    pq.write_table(
        pa.table(
            {
                "user_id": [f"u{user:03d}" for user in users],
                "item_id": [ids[item] for item in items],
                "timestamp": pa.array(1_700_000_000 + random.permutation(1800) * 3600, pa.int64()),
            }
        ),
        folder / "interactions.parquet",
    )
    texts = [f"item {name[0]} {name[1]}" for name in ids]
    pq.write_table(pa.table({"item_id": ids, "text": texts}), folder / "items.parquet")
    return folder


@pytest.mark.slow
def test_noise_costs_and_all_are_asked_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, encoder = write_shop(tmp_path / "shop"), write_encoder(tmp_path / "bert")
    command = ["bench", "noise", "--data", str(shop), "--work", str(tmp_path / "work")]
    command += ["--attacks", "fgm", "--shares", "0.6", "--json", "--set", f"encoder.name={encoder}"]
    command += [part for setting in SETTINGS for part in ("--set", setting)]
    main(command)
    document = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(schema_of("noise")).validate(document)
    rows = {(row["share"], row["method"]): row for row in document["rows"]}
    assert set(rows) == {
        (share, method)
        for share in (0.0, 0.6)
        for method in ("dualtower", "dualtower, FGM", "EASE")
    }
    assert len({row["recall_at_20"]["users"] for row in rows.values()}) == 1
    assert rows[0.0, "EASE"]["recall_at_20"]["value"] > 0.5  # a random list finds 0.22
    assert (
        rows[0.6, "EASE"]["recall_at_20"]["value"]
        < rows[0.0, "EASE"]["recall_at_20"]["value"] - 0.05
    )
    assert rows[0.0, "dualtower"] != rows[0.0, "dualtower, FGM"]
    clean = pq.read_table(shop / "interactions.parquet").num_rows
    seen = pq.read_table(tmp_path / "work" / "noise-0.6-seed-0" / "data" / "interactions.parquet")
    assert seen.num_rows == pytest.approx(0.85 * clean, abs=5)
    main(command)  # everything is reused, and nothing changes
    assert json.loads(capsys.readouterr().out)["rows"] == document["rows"]


def row(share: float, seed: int, method: str, value: float) -> dict:
    metric = {"value": value, "se": 0.01, "users": 50}
    names = ("recall_at_20", "ndcg_at_20", "recall_at_20_tail")
    return {"share": share, "seed": seed, "method": method, **dict.fromkeys(names, metric)}


def test_the_table_says_what_is_left() -> None:
    rows = [row(share, 0, "EASE", 0.2 * (1 - share)) for share in (0.0, 0.1)]
    table = noise_tables({"rows": rows, "settings": {"seeds": 1, "users": 50}})[0]
    assert table.title == "Recall@20, 50 users; ± over users"
    assert list(table.header) == ["", "0% noise", "10% noise"]
    assert table.rows == [["EASE", "0.2000 ± 0.0100 (100%)", "0.1800 ± 0.0100 (90%)"]]


def test_several_seeds_are_averaged() -> None:
    rows = [row(0.0, seed, "EASE", value) for seed, value in enumerate((0.1, 0.3))]
    table = noise_tables({"rows": rows, "settings": {"seeds": 2, "users": 50}})[0]
    assert table.title.endswith("± over 2 seeds")
    assert table.rows[0][1] == "0.2000 ± 0.1000 (100%)"


@pytest.mark.parametrize("shares", ["0", "1.5", "much", "0.1,0.1"])
def test_shares_that_are_none_are_refused(
    shares: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["bench", "noise", "--data", str(tmp_path), "--shares", shares])
    assert stopped.value.code == 2
    assert f"--shares {shares}" in capsys.readouterr().err
