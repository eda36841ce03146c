"""The pre-normaliser of apps, against Hugging Face's BertNormalizer."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

import pytest
from tokenizers.normalizers import BertNormalizer

from dualtower_export.edge_normalise import normalise_for_app
from dualtower_trainer.unicode_gap import GAP_PATTERN

_DOCS = Path(__file__).parents[2] / "docs" / "on-device"
_CASES = [
    json.loads(line)
    for line in (_DOCS / "normaliser_cases.jsonl").read_text(encoding="utf-8").splitlines()
]
_ORACLE = BertNormalizer(lowercase=True)


@pytest.mark.parametrize("case", _CASES, ids=lambda case: ascii(case["text"]))
def test_a_case_that_all_three_languages_share(case: dict[str, str]) -> None:
    assert normalise_for_app(case["text"]) == case["normalised"]
    assert _ORACLE.normalize_str(case["text"]) == case["normalised"]


def test_every_case_is_in_the_languages_of_the_docs() -> None:
    """Both texts have the same ranges of ideographs and the same categories as the Python."""
    kotlin, swift = (
        (_DOCS / name).read_text(encoding="utf-8") for name in ("Normaliser.kt", "Normaliser.swift")
    )
    ranges = [
        sorted(re.findall(r"0x([0-9A-F]{4,5})\.\.\.?0x([0-9A-F]{4,5})", text))
        for text in (kotlin, swift)
    ]
    assert ranges[0] == ranges[1]
    assert len(ranges[0]) == 7
    for low, high in ranges[0]:
        for point in (int(low, 16), int(high, 16)):
            assert normalise_for_app(f"a{chr(point)}b").startswith("a ")


def test_all_characters_of_unicode_but_those_that_libraries_disagree_on() -> None:
    """Some 9,000 strings of 128 code points each, all assigned and unassigned ones."""
    gap = re.compile(GAP_PATTERN)
    # 0x0 to 0x2FFFF and the plane of tags and selectors; others hold no characters
    points = [*range(0x30000), *range(0xE0000, 0xE1000), *range(0x10FF00, 0x110000)]
    letters = [chr(p) for p in points if not 0xD800 <= p < 0xE000]
    known = [c for c in letters if not gap.match(c) and unicodedata.category(c) != "Cn"]
    wrong = []
    for start in range(0, len(known), 128):
        text = "é".join(known[start : start + 128])
        if normalise_for_app(text) != _ORACLE.normalize_str(text):
            wrong.append(start)
    assert not wrong
    assert len(known) > 100_000


def test_real_words_in_many_scripts_with_every_mark() -> None:
    """Each base with each mark behind it, composed and apart: more than 300 strings."""
    bases = "aeiouncszyABGOÅΩωИеשبक가茶"
    marks = "\u0300\u0301\u0302\u0303\u0304\u0306\u0308\u030a\u030c\u0327\u0328\u0323\u05b0\u064e"
    texts = [
        unicodedata.normalize(form, f"x{base}{mark}Y")
        for base in bases
        for mark in marks
        for form in ("NFC", "NFD")
    ]
    assert len(set(texts)) > 300
    for text in texts:
        assert normalise_for_app(text) == _ORACLE.normalize_str(text)


def test_what_is_normal_stays(trained) -> None:
    for text in map(str, trained.texts):
        once = normalise_for_app(text)
        assert normalise_for_app(once).split() == once.split()
