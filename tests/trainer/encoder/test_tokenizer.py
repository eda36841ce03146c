from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dualtower.edge.tokenizer import Tokenizer, read_vocab
from dualtower.errors import UsageError


def pieces(tokenizer: Tokenizer, text: str | bytes) -> list[str]:
    return [tokenizer.vocab[row] for row in tokenizer.rows([text])[0]]


@pytest.fixture
def tokenizer(vocab: list[str]) -> Tokenizer:
    return Tokenizer(vocab, max_tokens=16)


def test_longest_piece_first(tokenizer: Tokenizer) -> None:
    assert pieces(tokenizer, "Green teas!") == ["[CLS]", "green", "tea", "##s", "!", "[SEP]"]


def test_ids_and_mask_are_padded_int32(tokenizer: Tokenizer) -> None:
    ids, mask = tokenizer(["tea", "green tea cup", ""])
    assert ids.shape == mask.shape == (3, 5)
    assert ids.dtype == mask.dtype == np.int32
    assert mask.tolist() == [[1, 1, 1, 0, 0], [1] * 5, [1, 1, 0, 0, 0]]
    assert np.all(ids[mask == 0] == tokenizer.pad_id)


def test_no_texts_give_no_rows(tokenizer: Tokenizer) -> None:
    ids, mask = tokenizer([])
    assert ids.shape == mask.shape == (0, 2)


@pytest.mark.parametrize(
    "text", ["", " ", "\x00", b"\xff\xfe", "\u200b\u00ad\ufeff", "\ufffd", "\u0301"]
)
def test_text_of_nothing_is_cls_and_sep(tokenizer: Tokenizer, text: str | bytes) -> None:
    assert pieces(tokenizer, text) == ["[CLS]", "[SEP]"]


def test_long_text_is_cut_and_still_closed(tokenizer: Tokenizer) -> None:
    row = tokenizer.rows(["tea " * 1000])[0]
    assert len(row) == 16
    assert (row[0], row[-1]) == (tokenizer.cls_id, tokenizer.sep_id)


def test_a_million_characters_are_one_unknown_word(tokenizer: Tokenizer) -> None:
    assert pieces(tokenizer, "x" * 1_000_000) == ["[CLS]", "[UNK]", "[SEP]"]


def test_words_are_measured_in_characters(tokenizer: Tokenizer) -> None:
    assert pieces(tokenizer, "a" * 100)[1] == "a"
    assert pieces(tokenizer, "a" * 101) == ["[CLS]", "[UNK]", "[SEP]"]
    russian = Tokenizer([*tokenizer.vocab, "ж", "##ж"], max_tokens=16)
    assert pieces(russian, "ж" * 100)[1] == "ж"
    assert pieces(russian, "tea " + "ж" * 101) == ["[CLS]", "tea", "[UNK]", "[SEP]"]


def test_special_tokens_in_a_text_have_no_power(tokenizer: Tokenizer) -> None:
    assert pieces(tokenizer, "[SEP]") == ["[CLS]", "[", "s", "##e", "##p", "]", "[SEP]"]


def test_accents_and_case_go_only_with_lowercase(vocab: list[str]) -> None:
    assert pieces(Tokenizer(vocab), "TÉA") == ["[CLS]", "tea", "[SEP]"]
    assert pieces(Tokenizer(vocab, lowercase=False), "TÉA tea") == [
        *("[CLS]", "[UNK]", "tea", "[SEP]")
    ]


def test_bytes_and_text_are_the_same(tokenizer: Tokenizer) -> None:
    for text in ("tea", "½ l café", "a\x00b", ""):
        assert tokenizer.rows([text]) == tokenizer.rows([text.encode()])
    assert tokenizer.rows([b"t\xffea"]) == tokenizer.rows(["tea"])


def test_a_vocabulary_file(vocab: list[str], tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(vocab) + "\n", encoding="utf-8")
    assert read_vocab(path) == vocab
    path.write_bytes("\r\n".join(vocab).encode())
    assert read_vocab(path) == vocab
    assert Tokenizer.from_vocab(str(path), max_tokens=5).rows(["tea"]) == [[2, *_rows(vocab), 3]]


def _rows(vocab: list[str]) -> list[int]:
    return [vocab.index("tea")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda vocab: [*vocab, "tea"], "'tea' more than once"),
        (lambda vocab: vocab[2:], r"lacks \[PAD\], \[UNK\]"),
        (lambda vocab: [], r"lacks \[PAD\], \[UNK\], \[CLS\], \[SEP\]"),
    ],
)
def test_bad_vocabularies_are_errors(vocab: list[str], change, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Tokenizer(change(vocab))


def test_bad_vocabulary_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the vocabulary"):
        read_vocab(tmp_path / "none.txt")
    (tmp_path / "vocab.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is not UTF-8"):
        read_vocab(tmp_path / "vocab.txt")


@pytest.mark.parametrize("max_tokens", [1, 0, -1])
def test_no_room_for_a_text_is_an_error(vocab: list[str], max_tokens: int) -> None:
    with pytest.raises(UsageError, match="max_tokens must be at least 2"):
        Tokenizer(vocab, max_tokens=max_tokens)


def test_it_needs_no_tensorflow() -> None:
    code = "import sys, dualtower.edge.tokenizer; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.network
def test_minilm_word_pieces(minilm: Path) -> None:
    tokenizer = Tokenizer.from_vocab(minilm / "vocab.txt")
    assert tokenizer.rows(["hello world"]) == [[101, 7592, 2088, 102]]
