"""A shop with three kinds of customers and three kinds of goods, and a small random BERT folder."""

from __future__ import annotations

import os

os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "2")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "2")

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

import dualtower_trainer  # noqa: F401  sets TensorFlow's environment

DAY_S = 86_400
KINDS = (("tea", "green", "black"), ("bread", "rye", "wheat"), ("wine", "red", "white"))
ITEMS_PER_KIND = 30


@pytest.fixture(scope="session")
def shop(made_once: Callable[..., Path]) -> Path:
    """A data folder in which a customer's kind decides nine purchases of ten."""
    return made_once("shop", _write_shop)


def _write_shop(folder: Path) -> None:
    random = np.random.default_rng(3)
    texts = [
        f"{KINDS[kind][1 + number % 2]} {KINDS[kind][0]} {number}"
        for kind in range(3)
        for number in range(ITEMS_PER_KIND)
    ]
    item_ids = [f"i{row:03d}" for row in range(len(texts))]
    users, items, seconds = [], [], []
    for user in range(150):
        for _ in range(25):
            kind = user % 3 if random.random() < 0.9 else random.integers(3)
            number = int(ITEMS_PER_KIND * random.random() ** 2)
            users.append(f"u{user:03d}")
            items.append(item_ids[kind * ITEMS_PER_KIND + number])
            seconds.append(1_700_000_000 + int(random.integers(200 * DAY_S)))
    pq.write_table(
        pa.table(
            {
                "user_id": users,
                "item_id": items,
                "timestamp": pa.array(seconds, pa.int64()),
                "weight": pa.array(np.ones(len(users), np.float32)),
                "rating": pa.array(1 + random.integers(0, 5, len(users)), pa.float32()),
                "event": [("buy", "view", None)[number % 3] for number in range(len(users))],
            }
        ),
        folder / "interactions.parquet",
    )
    pq.write_table(
        pa.table({"item_id": item_ids, "text": texts, "blocked": [False] * len(texts)}),
        folder / "items.parquet",
    )


@pytest.fixture(scope="session")
def bert_folder(made_once: Callable[..., Path]) -> Path:
    """One layer of 16 units with random weights; its vocabulary spells the shop's texts."""
    return made_once("shop-bert", _write_bert)


def _write_bert(folder: Path) -> None:
    from dualtower_trainer.bert_config import BertConfig
    from dualtower_trainer.bert_weights import expected_shapes

    words = sorted({word for kind in KINDS for word in kind})
    digits = [*"0123456789", *(f"##{digit}" for digit in range(10))]
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *digits]
    config = BertConfig(
        vocab_size=len(vocab),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    random = np.random.default_rng(5)
    tensors = {
        name: random.normal(1.0 if name.endswith("LayerNorm.weight") else 0.0, 0.3, shape).astype(
            np.float32
        )
        for name, shape in expected_shapes(config).items()
    }
    (folder / "config.json").write_text(config.to_json(), encoding="utf-8")
    (folder / "vocab.txt").write_text("\n".join(vocab) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    save_file(tensors, folder / "model.safetensors")


SETTINGS = (
    "encoder.max_tokens=8",
    "model.dim=32",
    "model.history_items=12",
    "model.hidden_units=16",
    "split.validation_days=30",
    "split.test_days=30",
    "split.cold_share=0.15",
    "closed_form.regularisation=30",
    "closed_form.sharpening=0",
    "closed_form.half_lives=0.1",
    "closed_form.trend_powers=0.5",
    "train.steps=40",
    "train.evaluate_every=8",
    "train.patience=20",
    "train.users_per_step=32",
    "train.targets_per_user=4",
    "train.uniform_negatives=64",
    "train.warmup_steps=5",
    "train.learning_rate=0.003",
)


@pytest.fixture(scope="session")
def settings(bert_folder: Path) -> tuple[str, ...]:
    """Overrides for a training of a second or two."""
    return (f"encoder.name={bert_folder}", *SETTINGS)


@pytest.fixture(scope="session")
def trained_run(shop: Path, settings: tuple[str, ...], made_once: Callable[..., Path]) -> Path:
    """A finished RUN folder; read it only."""
    return made_once("shop-run", lambda folder: _train(shop, folder, settings)) / "run"


@pytest.fixture
def own_run(trained_run: Path, tmp_path: Path) -> Path:
    """A copy of it for one test, which may train, lock, damage or evaluate it."""
    return Path(shutil.copytree(trained_run, tmp_path / "run"))


@pytest.fixture(scope="session")
def trained_with_heads(
    shop: Path, settings: tuple[str, ...], made_once: Callable[..., Path]
) -> Path:
    """The same, with both heads of section [heads]; read it only."""
    both = (*settings, "heads.ratings=true", "heads.events=true")
    return made_once("shop-run-with-heads", lambda folder: _train(shop, folder, both)) / "run"


def _train(shop: Path, folder: Path, settings: tuple[str, ...]) -> None:
    from dualtower_trainer.cli import load_run_config
    from dualtower_trainer.train import train

    train(shop, folder / "run", load_run_config(None, settings))
