"""Characters on which libraries differ: the graph reads them as Hugging Face does."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from tokenizers.normalizers import BertNormalizer

from dualtower_trainer.unicode_gap import GAP_PATTERN, spelling_of

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
GAP = re.findall(GAP_PATTERN, "".join(chr(p) for p in range(0x110000) if not 0xD800 <= p < 0xE000))
TEXTS = [f"{letter}a{letter}b {letter} a{letter}" for letter in GAP]


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("known", [0, 1, 2])
def test_each_of_them(known: int, lowercase: bool, check_graph: Callable[..., None]) -> None:
    """In a vocabulary that has none of them, every other one, or all, as they are and lowered."""
    held = GAP[:: 3 - known] if known else []
    lower = [BertNormalizer(lowercase=lowercase).normalize_str(letter) for letter in held]
    letters = [*dict.fromkeys(["a", "b", *held, *filter(None, lower)])]
    vocab = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters)]
    check_graph(vocab, TEXTS, 24, lowercase)


def test_a_vocabulary_without_them_costs_three_rules() -> None:
    spelling = spelling_of([*SPECIAL, "tea"], lowercase=True)
    assert len(spelling.rules) <= 3
    assert spelling.pieces == (*SPECIAL, "tea")


def test_letters_that_a_vocabulary_has_stand_for_nothing_else() -> None:
    pieces = [*SPECIAL, "\ue000", "\ue001", "\u061d", "a\ue002"]
    spelling = spelling_of(pieces, lowercase=True)
    assert len(set(spelling.pieces)) == len(pieces)
    assert spelling.unknown not in "".join([*pieces, *spelling.pieces])
    assert spelling.pieces[7] not in ("\ue000", "\ue001", "\ue002", spelling.unknown)
