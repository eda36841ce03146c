from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from dualtower.edge.tokenizer import Tokenizer
from dualtower.errors import UsageError
from dualtower_trainer.wordpiece import train_wordpiece, words_of

TEXTS = ["green tea", "black teas", "tea cup", "teacups blue", "blue-green cup", "Tée & cups"] * 3


def slow_merges(words: Counter[str]) -> list[str]:
    """Byte-pair merges that count every pair anew at every step."""
    spelled = {word: [word[0], *("##" + letter for letter in word[1:])] for word in words}
    merged = []
    while True:
        counts: Counter[tuple[str, str]] = Counter()
        for word, pieces in spelled.items():
            for place in range(len(pieces) - 1):
                counts[pieces[place], pieces[place + 1]] += words[word]
        if not counts:
            return merged
        first, second = min(counts, key=lambda pair: (-counts[pair], pair))
        merged.append(first + second[2:])
        for pieces in spelled.values():
            place = 0
            while place < len(pieces) - 1:
                if pieces[place : place + 2] == [first, second]:
                    pieces[place : place + 2] = [first + second[2:]]
                place += 1


def random_texts(seed: int) -> list[str]:
    generator = np.random.default_rng(seed)
    return [
        " ".join("".join(generator.choice(list("abc"), generator.integers(1, 9))) for _ in range(5))
        for _ in range(20)
    ]


@pytest.mark.parametrize("texts", [TEXTS, random_texts(0), random_texts(1), ["aaaaaaa aaa aa"]])
def test_merges_equal_the_slow_way(texts: list[str]) -> None:
    words = Counter(word for text in texts for word in words_of(text))
    expected = list(dict.fromkeys(slow_merges(words)))
    pieces = train_wordpiece(texts, size=100_000)
    assert pieces[-len(expected) :] == expected
    letters = pieces[5 : -len(expected)]
    assert all(len(piece.removeprefix("##")) == 1 for piece in letters)


def test_every_word_of_a_full_vocabulary_is_one_piece() -> None:
    tokenizer = Tokenizer(train_wordpiece(TEXTS, size=1000))
    for text in TEXTS:
        assert len(tokenizer.rows([text])[0]) == 2 + len(words_of(text))


def test_a_small_vocabulary_keeps_the_frequent_pieces() -> None:
    pieces = train_wordpiece(TEXTS, size=40)
    assert len(pieces) == 40
    assert pieces[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert len(set(pieces)) == 40
    assert "tea" in pieces
    assert pieces == train_wordpiece(TEXTS, size=1000)[:40]


def test_no_letter_of_the_texts_is_unknown() -> None:
    tokenizer = Tokenizer(train_wordpiece(TEXTS, size=60), max_tokens=64)
    ids, _ = tokenizer(TEXTS)
    assert not np.any(ids == tokenizer.unk_id)


def test_the_order_of_texts_and_the_hash_seed_do_not_matter() -> None:
    code = (
        "import sys; from dualtower_trainer.wordpiece import train_wordpiece\n"
        "print('\\n'.join(train_wordpiece(sys.argv[1:], size=50)))"
    )
    results = {
        subprocess.run(
            [sys.executable, "-c", code, *texts],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed, texts in [("0", TEXTS), ("1", TEXTS), ("2", TEXTS[::-1])]
    }
    assert len(results) == 1


def test_no_words_give_only_special_tokens() -> None:
    assert train_wordpiece([], size=50) == train_wordpiece(["", "\x00"], size=50)
    assert len(train_wordpiece([], size=50)) == 5


def test_endless_words_are_left_out() -> None:
    assert train_wordpiece(["x" * 101], size=50) == train_wordpiece([], size=50)


def test_no_room_is_an_error() -> None:
    with pytest.raises(UsageError, match="more than 5 pieces, got size 5"):
        train_wordpiece(TEXTS, size=5)
