"""Small random BERTs, and the real one where it can be had."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dualtower.edge.tokenizer import Tokenizer
from dualtower.errors import UnavailableError
from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.bert_weights import random_tensors
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.encoder_fetch import fetch

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


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def _as_bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", errors="surrogatepass")


def _spelled(texts: list[str | bytes]) -> list[str]:
    """A vocabulary in which every character of `texts` is a piece, so that none hides in [UNK]."""
    letters: dict[str, None] = {}
    for text in texts:
        plain = text if isinstance(text, str) else text.decode(errors="replace")
        for form in (plain, plain.lower(), unicodedata.normalize("NFD", plain).lower()):
            letters.update(dict.fromkeys(form))
    kept = [x for x in letters if unicodedata.category(x)[0] != "Z" and not _is_dropped(x)]
    return list(dict.fromkeys([*SPECIAL, *kept, *("##" + letter for letter in kept), "tea", "##s"]))


def _is_dropped(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co")


def _padded(ids: np.ndarray, mask: np.ndarray) -> list[list[int]]:
    """The rows without their padding, which is [PAD] after a run of ones in the mask."""
    assert np.all(np.diff(mask, axis=1) <= 0)
    assert np.all(ids[mask == 0] == SPECIAL.index("[PAD]"))
    return [row[:count].tolist() for row, count in zip(ids, mask.sum(axis=1), strict=True)]


@pytest.fixture(scope="session")
def spelled() -> Callable[[list[str | bytes]], list[str]]:
    """A vocabulary in which every character of some texts is a piece, none hides in [UNK]."""
    return _spelled


@pytest.fixture(scope="session")
def check_graph() -> Callable[[list[str], list[str | bytes], int, bool], None]:
    """Compares the graph with what is outside: (vocab, texts, max_tokens, lowercase)."""
    import tensorflow as tf

    from dualtower_trainer.tokenizer_graph import graph_tokenizer

    def check(vocab: list[str], texts: list[str | bytes], max_tokens: int, lowercase: bool) -> None:
        outside = Tokenizer(vocab, lowercase=lowercase, max_tokens=max_tokens)
        inside = graph_tokenizer(vocab, max_tokens, lowercase=lowercase)
        ids, mask = outside(texts)
        got_ids, got_mask = (
            side.numpy() for side in inside(tf.constant([_as_bytes(text) for text in texts]))
        )
        assert got_ids.dtype == got_mask.dtype == np.int32
        for text, row, got in zip(
            texts, _padded(ids, mask), _padded(got_ids, got_mask), strict=True
        ):
            if row != got:
                pieces = [vocab[token] for token in row], [vocab[token] for token in got]
                pytest.fail(f"{ascii(text)[:200]}: {pieces[0]} outside, {pieces[1]} inside")
        assert got_ids.shape == ids.shape

    return check
