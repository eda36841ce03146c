"""Vectors of another modality through a whole training, to disk and back."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.bert_weights import random_tensors
from dualtower_trainer.checkpoint import load_trained
from dualtower_trainer.cli import load_run_config
from dualtower_trainer.data import Dataset
from dualtower_trainer.data.canonical import write_interactions
from dualtower_trainer.evaluate_run import EvaluateConfig, evaluate_run
from dualtower_trainer.train import train

SETTINGS = (
    "encoder.max_tokens=6", "model.dim=24", "model.hidden_units=8", "model.history_items=16",
    "split.cold_share=0.2", "split.test_share=0.2",
    "closed_form.regularisation=30", "closed_form.sharpening=0",
    "closed_form.half_lives=0.1", "closed_form.trend_powers=0.5", "closed_form.freshness=0",
    "train.steps=4", "train.evaluate_every=2", "train.users_per_step=32",
    "train.targets_per_user=4", "train.uniform_negatives=64",
)  # fmt: skip


def write_encoder(folder: Path) -> Path:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", *"0123456789"]
    model = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=8,
    )  # fmt: skip
    folder.mkdir()
    (folder / "config.json").write_text(model.to_json())
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    save_file(random_tensors(model, seed=0, stddev=0.3), folder / "model.safetensors")
    return folder


@pytest.mark.slow
def test_a_run_stores_vectors_and_its_evaluation_reads_them(
    tastes_of_three_kinds: Dataset, tmp_path: Path
) -> None:
    log, ids = tastes_of_three_kinds.interactions, list(tastes_of_three_kinds.catalogue.item_ids)
    data = tmp_path / "data"
    data.mkdir()
    columns = {
        "user_id": pa.array(log.user_ids[log.users], pa.string()),
        "item_id": pa.array([ids[item] for item in log.items]),
        "timestamp": pa.array(log.timestamps),
        "weight": pa.array(log.weights),
    }
    write_interactions(data, [pa.table(columns)])
    modal = np.random.default_rng(0).normal(size=(90, 6)).astype(np.float32)
    modal[np.arange(90), np.arange(90) // 30] += 3
    modal[5] = 0
    mixed = np.random.default_rng(2).permutation(90)  # so that no text tells the kind
    texts = [f"good {number // 10} {number % 10}" for number in mixed]
    listed = pa.array([None if not row.any() else row.tolist() for row in modal])
    table = pa.table({"item_id": ids, "text": texts, "features": listed})
    pq.write_table(table, data / "items.parquet")
    encoder = write_encoder(tmp_path / "bert")
    train(data, tmp_path / "run", load_run_config(None, (f"encoder.name={encoder}", *SETTINGS)))
    trained = load_trained(tmp_path / "run")
    ids_and_mask = trained.encoder().tokenizer(texts)
    inputs = {
        "pooled": trained.encoder().encode(texts),
        "ids": ids_and_mask[0],
        "mask": ids_and_mask[1],
        "id_vector": np.zeros((90, 23), np.float32),
        "features": modal,
    }
    cold = ~trained.warm
    assert cold.any()
    found = trained.item_head(inputs).numpy()
    np.testing.assert_allclose(trained.vectors[cold], found[cold], atol=1e-5)
    by_text = trained.embed_texts(texts)
    np.testing.assert_allclose(by_text[5], found[5], atol=1e-5)
    assert np.abs(by_text - found)[cold].max() > 1e-3
    np.testing.assert_array_equal(trained.catalogue.features, modal)  # kept as they came

    blind = tmp_path / "blind"
    shutil.copytree(tmp_path / "run", blind)
    stored = blind / "model" / "catalogue.parquet"
    pq.write_table(pq.read_table(stored).drop_columns("features"), stored)
    only = EvaluateConfig(baselines=("vbpr",), bootstrap_draws=50)
    seeing, unseeing = (
        evaluate_run(run, only)["cold"]["methods"][1]["ndcg_at_10"]["value"]
        for run in (tmp_path / "run", blind)
    )
    assert seeing > unseeing + 0.05
