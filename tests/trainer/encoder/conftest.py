"""Small random BERTs, and the real one where it can be had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dualtower.errors import UnavailableError
from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.bert_weights import random_tensors
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.encoder_fetch import fetch
from dualtower_trainer.tokenizer import Tokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
VOCAB = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *LETTERS,
    *("##" + letter for letter in LETTERS),
    *(".", ",", "-", "!", "[", "]", "tea", "green", "black", "##s", "##ed", "cup"),
]
VOCAB = list(dict.fromkeys(VOCAB))
CONFIG = BertConfig(
    vocab_size=len(VOCAB),
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=40,
    max_position_embeddings=64,
)


@pytest.fixture(scope="session")
def vocab() -> list[str]:
    return VOCAB


@pytest.fixture(scope="session")
def config() -> BertConfig:
    return CONFIG


@pytest.fixture(scope="session")
def make_encoder() -> Callable[..., Encoder]:
    """A small BERT with large random weights, so that nothing is near zero by accident."""

    def make(seed: int = 0, max_tokens: int = 16, lowercase: bool = True) -> Encoder:
        return Encoder(
            folder=Path(),
            config=CONFIG,
            tensors=random_tensors(CONFIG, seed=seed, stddev=0.3),
            tokenizer=Tokenizer(VOCAB, lowercase=lowercase, max_tokens=max_tokens),
        )

    return make


@pytest.fixture
def folder(make_encoder: Callable[..., Encoder], tmp_path: Path) -> Path:
    """A whole BERT folder on disk."""
    return make_encoder().save(tmp_path / "bert")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The real MiniLM, from the user's cache or the network."""
    try:
        return fetch("minilm")
    except UnavailableError as error:
        pytest.skip(f"MiniLM cannot be fetched here: {error}")
