"""How long the texts of a load are, as a scenario says it: the key `tokens` of a case.

"catalogue"               the bundle's own texts, as they are
"24"                      exactly so many word pieces, [CLS] and [SEP] among them
"lognormal(12, 0.5)"      lengths drawn by median and sigma, from 3 to what a tower reads
"file:texts.txt"          the texts of a file, one a line, as they are
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dualtower.errors import UsageError

__all__ = ["CATALOGUE", "SHORTEST", "TextLengths", "read_lines"]

SHORTEST = 3  # [CLS], a word piece, [SEP]

_LOGNORMAL = re.compile(r"lognormal\(\s*([^,\s]+)\s*,\s*([^,\s]+)\s*\)")
_FILE = "file:"


@dataclass(frozen=True)
class TextLengths:
    """One of the four forms.

    Args:
        text: as it was written.
        pieces: of a fixed length, 0 elsewhere.
        median, sigma: of a drawn one; a median of 0 elsewhere.
        path: of a file, None elsewhere.
    """

    text: str = "catalogue"
    pieces: int = 0
    median: float = 0.0
    sigma: float = 0.0
    path: Path | None = None

    @classmethod
    def read(cls, text: str) -> TextLengths:
        """Reads one of the forms.

        Raises:
            ValueError: it is none of them.
        """
        if text == "catalogue":
            return cls()
        if text.startswith(_FILE) and len(text) > len(_FILE):
            return cls(text, path=Path(text.removeprefix(_FILE)))
        if text.isascii() and text.isdigit() and int(text) >= SHORTEST:
            return cls(text, pieces=int(text))
        if (found := _LOGNORMAL.fullmatch(text)) is not None:
            median, sigma = (_number(part) for part in found.groups())
            if median >= SHORTEST and 0 <= sigma <= 4:
                return cls(text, median=median, sigma=sigma)
        raise ValueError(
            f'tokens is "catalogue", a number of word pieces from {SHORTEST}, "lognormal(median, '
            f'sigma)" with a median from {SHORTEST} and a sigma of 0 to 4, or "file:PATH" with a '
            f"text a line; got {text!r}"
        )

    @property
    def is_fitted(self) -> bool:
        """Whether texts must be made to a length."""
        return bool(self.pieces or self.median)

    def drawn(
        self, count: int, generator: np.random.Generator, *, longest: int
    ) -> npt.NDArray[np.int64]:
        """int64 [count]: word pieces of each text, of the two forms that fit texts to them.

        Args:
            longest: where a tower cuts; no text is longer.

        Raises:
            UsageError: the fixed length is above that.
        """
        if self.pieces:
            if self.pieces > longest:
                raise UsageError(
                    f"tokens = {self.pieces}: the towers of this bundle cut a text at {longest} "
                    f"word pieces; take at most {longest}"
                )
            return np.full(count, self.pieces, np.int64)
        drawn = self.median * np.exp(self.sigma * generator.standard_normal(count))
        return np.clip(np.rint(drawn), SHORTEST, longest).astype(np.int64)


CATALOGUE = TextLengths()


def read_lines(path: Path) -> list[str]:
    """The texts of a file, one a line, without the empty ones.

    Raises:
        UsageError: the file cannot be read, or has no text.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"tokens: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"tokens: {path} is not UTF-8: {error}") from error
    texts = [line for line in lines if line.strip()]
    if not texts:
        raise UsageError(f"tokens: {path} has no text; it holds one a line")
    return texts


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return -1.0
    return value if math.isfinite(value) else -1.0
