"""The words of a text, and the text without some of them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtower_trainer.explain.words import words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("salted butter 250 g", ["salted", "butter", "250", "g"]),
        ("  T-LIGHT\tHOLDER,\u00a0red\n", ["T-LIGHT", "HOLDER,", "red"]),
        ("北海道 生乳100%チョコ", ["北", "海", "道", "生", "乳", "100%チョコ"]),
        ("𠀀𠀁", ["𠀀", "𠀁"]),
        ("café شاي", ["café", "شاي"]),
        ("", []),
        (" \u3000 ", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert list(words_of(text, most=100).words) == words


def test_a_long_text_is_cut_after_the_last_word_that_counts() -> None:
    words = words_of("one two  three four", most=2)
    assert words.words == ("one", "two")
    assert words.text == "one two"
    assert words_of("one two ", most=2).text == "one two "


def test_what_is_left_out_leaves_a_blank_and_the_rest_untouched() -> None:
    words = words_of("北海道 (fresh) milk", most=10)
    assert words.keeping([True, False, True, True, False]) == "北 道 (fresh)  "
    assert words.keeping([True] * 5) == "北海道 (fresh) milk"


@given(st.text(max_size=30), st.integers(0, 12))
def test_any_text_keeps_what_is_kept_in_its_order(text: str, most: int) -> None:
    words = words_of(text, most=most)
    assert len(words) <= most
    assert words.keeping([True] * len(words)) == words.text
    assert text.startswith(words.text)
    for kept in itertools.islice(itertools.product([True, False], repeat=len(words)), 16):
        left = [word for word, keep in zip(words.words, kept, strict=True) if keep]
        assert list(words_of(words.keeping(kept), most=100).words) == left
