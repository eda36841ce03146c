"""What an app does to a text before a tokeniser that neither strips accents nor lowers them.

MediaPipe's TextEmbedder lowers ASCII alone and leaves accents; our towers have learned from
Hugging Face's BertNormalizer, which this function equals for a lower-casing vocabulary. The same in
Kotlin and in Swift, and cases that all three must pass, are in `docs/on-device/`.

No package is needed: Python's own Unicode tables are read.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["normalise_for_app"]

_DROPPED = {"Cc", "Cf", "Co", "Cs"}
_SPACES = {"Zs", "Zl", "Zp"}
_IDEOGRAPH = re.compile(
    "([\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002b81f"
    "\U0002b920-\U0002ceaf\U0002f800-\U0002fa1f])"
)


def normalise_for_app(text: str) -> str:
    """The text without controls and accents, in lower case, and spaces around ideographs.

    Example:
        >>> normalise_for_app("Crème\\tBRÛLÉE, 茶")
        'creme brulee,  茶 '
    """
    cleaned = "".join(map(_cleaned, text))
    spaced = _IDEOGRAPH.sub(r" \1 ", cleaned)
    marked = unicodedata.normalize("NFD", spaced)
    plain = (letter for letter in marked if unicodedata.category(letter) != "Mn")
    # letter by letter: a whole word would get ς at its end, which BERT's normaliser does not write
    return "".join(letter.lower() for letter in plain)


def _cleaned(letter: str) -> str:
    """A space for every kind of space, nothing for what has no shape."""
    category = unicodedata.category(letter)
    if letter in "\t\n\r" or category in _SPACES:
        return " "
    return "" if letter in "\0\ufffd" or category in _DROPPED else letter
