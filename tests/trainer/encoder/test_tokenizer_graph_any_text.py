"""The tokeniser in the graph gives the ids of the one outside, on what nobody thought of."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=60), st.binary(max_size=40)), min_size=1, max_size=20))
def test_any_text_and_any_bytes(
    check_graph: Callable[..., None], spelled: Callable[..., list[str]], texts: list[str | bytes]
) -> None:
    check_graph(spelled([*texts, "tea"]), texts, 24, lowercase=True)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(alphabet="aé Σς'-!ж漢\u0301\u200b\x00ß", max_size=300), min_size=1))
def test_long_words_of_mixed_width(
    check_graph: Callable[..., None], spelled: Callable[..., list[str]], texts: list[str]
) -> None:
    check_graph(spelled([*texts, "tea"]), list(texts), 24, lowercase=True)


def traits(point: int) -> tuple[object, ...]:
    """What a tokeniser may ask of a character; its script is the first word of its name."""
    letter = chr(point)
    return (
        unicodedata.category(letter),
        unicodedata.combining(letter) > 0,
        unicodedata.decomposition(letter) != "",
        letter.lower() != letter,
        unicodedata.name(letter, "").partition(" ")[0],
    )


def telling_points() -> list[int]:
    """The ends of every run of like code points, all that change in some form, every 61st else."""
    points = [point for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    found = []
    before = after = None
    for point in points:
        own = traits(point) if after is None else after
        after = traits(point + 1) if point < 0x10FFFF else None
        _, combines, decomposes, has_case, script = own
        changes = combines or has_case or (decomposes and script != "HANGUL")
        if own != before or own != after or changes or point % 61 == 0:
            found.append(point)
        before = own
    return found


@pytest.mark.slow
@pytest.mark.parametrize("lowercase", [True, False])
def test_every_kind_of_code_point(
    lowercase: bool, check_graph: Callable[..., None], spelled: Callable[..., list[str]]
) -> None:
    """Each one at the start, inside and at the end of a word."""
    points = telling_points()
    assert 20_000 < len(points) < 60_000
    for begin in range(0, len(points), 25_000):
        letters = [chr(point) for point in points[begin : begin + 25_000]]
        vocab = spelled([*letters, "ab"])
        check_graph(vocab, [f"{letter}a{letter}b{letter}" for letter in letters], 24, lowercase)
