"""Characters that Hugging Face's tokeniser and TensorFlow's ops read by different Unicode versions.

Of 1,112,064 code points, Hugging Face's normaliser and pre-tokeniser on the one side and RE2, ICU
and FastWordpieceTokenizer on the other disagree on these: marks, capitals and punctuation added to
Unicode after 2015, and 256 rare ideographs. Before TensorFlow's ops see one it is spelled as
something on which both agree: as a private-use character, which no text holds any more by then,
since both sides drop those. A slow test compares the two on every code point, so that a release
that moves the line is noticed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tokenizers import normalizers, pre_tokenizers

__all__ = ["GAP_PATTERN", "Spelling", "spelling_of"]

_RANGES = """
61D 7FD 890-891 898-89F 8CA-8E2 9FD-9FE A76 AFA-AFF B55 C04 C3C C77 C84 D00 D3B-D3C D81 EBA
ECE 166D 1734 180F 1885-1886 1ABF-1ACE 1B4E-1B4F 1B7D-1B7F 1C89 1DF6-1DFB 2C2F 2E43-2E4F
2E52-2E5D A7C0 A7CB-A7CC A7CE A7D0 A7D2 A7D4 A7D6 A7D8 A7DA A7DC A82C A8C5 A8FF A9BD
10570-1057A 1057C-1058A 1058C-10592 10594-10595 105C9 105E4 10D24-10D27 10D50-10D65 10D6E
10EAB-10EAD 10EFD-10EFF 10F46-10F50 10F55-10F59 10F82-10F89 11070 11073-11074 110C2 110CD
111C9 111CF 1123E 11241 1133B 11383 11385 1138E 11391 113C5 113C7-113C8 113D4-113D5
113D7-113D8 11438-1143F 11442-11444 11446 1144B-1144F 1145A-1145B 1145D-1145E 11660-1166C
116B9 1182F-11837 11839-1183B 11938 1193B-1193C 1193E 11943-11946 119D4-119D7 119DA-119DB
119E0 119E2 11A01-11A0A 11A33-11A38 11A3B-11A47 11A51-11A56 11A59-11A5B 11A8A-11A96
11A98-11A9C 11A9E-11AA2 11B00-11B09 11BE1 11C30-11C36 11C38-11C3D 11C3F 11C41-11C45
11C70-11C71 11C92-11CA7 11CAA-11CB0 11CB2-11CB3 11CB5-11CB6 11D31-11D36 11D3A 11D3C-11D3D
11D3F-11D45 11D47 11D90-11D91 11D95 11D97 11EF3-11EF4 11EF7-11EF8 11F00-11F01 11F36-11F3A
11F40 11F42-11F4F 11FFF 12FF1-12FF2 13430-13440 13447-13455 16121-16128 16D68-16D6A
16D6D-16D6F 16E97-16E9A 16EA0-16EB8 16F4F 16FE2 16FE4 1CF00-1CF2D 1CF30-1CF46 1E000-1E006
1E008-1E018 1E01B-1E021 1E023-1E024 1E026-1E02A 1E08F 1E130-1E136 1E2AE 1E2EC-1E2EF
1E4EC-1E4EF 1E5FF 1E944-1E94A 1E95E-1E95F 2B820-2B91F
"""


@dataclass(frozen=True)
class Spelling:
    """How the characters of the gap are written for TensorFlow's ops.

    Attributes:
        rules: pairs of a pattern of RE2 and what it is replaced by, to be applied in this order
            after private-use characters were dropped.
        pieces: the vocabulary in the same spelling.
        unknown: a letter that is no piece, nor in any.
    """

    rules: tuple[tuple[str, str], ...]
    pieces: tuple[str, ...]
    unknown: str


def spelling_of(vocab: Sequence[str], *, lowercase: bool) -> Spelling:
    """The spelling under which a vocabulary cuts texts as Hugging Face does.

    A character of the gap that the vocabulary lacks becomes `unknown`, whatever it is; few
    vocabularies have any of them, and each that one has gets a letter of its own.
    """
    held = set("".join(vocab))
    free = (letter for letter in map(chr, range(0xE000, 0xF900)) if letter not in held)
    unknown = next(free)
    letters = _gap_letters()
    own = {letter: next(free) for letter in letters if letter in held}
    normaliser = normalizers.BertNormalizer(lowercase=lowercase)
    by_rewrite: defaultdict[str, list[str]] = defaultdict(list)
    for letter in letters:
        read = normaliser.normalize_str(letter)
        spelled = own.get(read, read if read in held else unknown)
        by_rewrite[_placed(read, spelled)].append(letter)
    rules = tuple((_character_class(same), rewrite) for rewrite, same in by_rewrite.items())
    table = {ord(letter): stand_in for letter, stand_in in own.items()}
    pieces = tuple(piece.translate(table) for piece in vocab)
    return Spelling(rules, pieces, unknown)


def _placed(read: str, spelled: str) -> str:
    """`spelled` as Hugging Face has `read` in a word: dropped, as a letter, or on its own."""
    words = pre_tokenizers.BertPreTokenizer().pre_tokenize_str(f"a{read}b")
    if len(words) > 1:
        return f" {spelled} "
    return spelled if read else ""


def _gap_letters() -> list[str]:
    return [chr(point) for first, last in _bounds() for point in range(first, last + 1)]


def _bounds() -> Iterator[tuple[int, int]]:
    for entry in _RANGES.split():
        first, _, last = entry.partition("-")
        yield int(first, 16), int(last or first, 16)


def _character_class(letters: Iterable[str]) -> str:
    """A character class of literal characters, as Python's `re` and RE2 both read it."""
    return f"[{''.join(letters)}]"


GAP_PATTERN = _character_class(f"{chr(first)}-{chr(last)}" for first, last in _bounds())
