"""A small random BERT, texts of two kinds and pairs inside each kind."""

from __future__ import annotations

import os

os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "2")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "2")

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dualtower.edge.tokenizer import Tokenizer
from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.bert_weights import random_tensors
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.finetune import FinetuneConfig
from dualtower_trainer.finetune.batches import Batch
from dualtower_trainer.pairs import Pairs

WORDS = ("tea", "green", "black", "cup", "wine", "red", "white", "glass", "bread", "rye", "oat")
DIGITS = tuple("0123456789")
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *DIGITS, *(f"##{digit}" for digit in DIGITS)]
CONFIG = BertConfig(
    vocab_size=len(VOCAB),
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=40,
    max_position_embeddings=32,
)


@pytest.fixture(scope="session")
def bert() -> BertConfig:
    return CONFIG


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """Large random weights, so that nothing is near zero by accident."""
    return Encoder(
        folder=Path(),
        config=CONFIG,
        tensors=random_tensors(CONFIG, seed=3, stddev=0.2),
        tokenizer=Tokenizer(VOCAB, max_tokens=16),
    )


@pytest.fixture(scope="session")
def texts() -> list[str]:
    kinds = (("tea", "green", "black"), ("wine", "red", "white"), ("bread", "rye", "oat"))
    return [
        f"{kind[1 + n % 2]} {kind[0]} {n}" + " 7" * (n % 4) for kind in kinds for n in range(12)
    ]


@pytest.fixture(scope="session")
def pairs(texts: list[str]) -> Pairs:
    """Every two texts of one kind."""
    kind = np.arange(len(texts)) // 12
    anchor, positive = np.nonzero((kind[:, None] == kind) & ~np.eye(len(texts), dtype=bool))
    return Pairs(
        anchor.astype(np.int32), positive.astype(np.int32),
        np.ones(len(anchor), np.float32), np.zeros(len(anchor), np.int8),
    )  # fmt: skip


@pytest.fixture(scope="session")
def settings() -> FinetuneConfig:
    """All weights, and nothing that hides an error: no dropout, clip, decay or mean of weights."""
    return FinetuneConfig(
        mode="full", steps=6, batch_pairs=8, dropout=0.0, clip_norm=0.0, ema_decay=0.0,
        layer_decay=1.0, weight_decay=0.0, learning_rate=1e-2, warmup_share=0.0, temperature=0.2,
    )  # fmt: skip


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., Batch]:
    """A batch of random word pieces with random lengths, for `contrastive`."""

    def make(rows: int, width: int = 8, seed: int = 0) -> Batch:
        random = np.random.default_rng(seed)

        def side() -> tuple[np.ndarray, np.ndarray]:
            ids = random.integers(2, len(VOCAB), (rows, width)).astype(np.int32)
            mask = np.arange(width) < random.integers(2, width + 1, (rows, 1))
            return ids, mask.astype(np.int32)

        accidental = np.zeros((rows, rows), bool)
        accidental[0, 1] = True
        return Batch(
            (side(), side()), (accidental, random.uniform(0.5, 1, rows).astype(np.float32))
        )

    return make
