"""The tokeniser in the graph gives the ids of the one outside, on what nobody thought of."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ASSIGNED_PLANES = {0, 1, 2, 3, 14}


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


@pytest.mark.slow
@pytest.mark.parametrize("lowercase", [True, False])
def test_every_code_point(
    lowercase: bool, check_graph: Callable[..., None], spelled: Callable[..., list[str]]
) -> None:
    """Each one at the start, inside and at the end of a word.

    Of the planes where nothing is assigned yet, or only for private use, the ends and every 61st.
    """
    points = [
        point
        for point in range(0x110000)
        if not 0xD800 <= point < 0xE000
        and (point >> 16 in ASSIGNED_PLANES or point % 61 == 0 or point & 0xFFFF in (0, 0xFFFF))
    ]
    for begin in range(0, len(points), 25_000):
        letters = [chr(point) for point in points[begin : begin + 25_000]]
        vocab = spelled([*letters, "ab"])
        check_graph(vocab, [f"{letter}a{letter}b{letter}" for letter in letters], 24, lowercase)
