"""What a worker asks an engine, whichever it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dualtower_benchmarks.index.catalogue import Catalogue

__all__ = ["Kind", "Searcher"]


class Searcher(Protocol):
    """An index that is ready. `search` alone is timed."""

    version: str

    def asked(self, users: NDArray[np.float32], seen: NDArray[np.int32]) -> Any:
        """Users float32 [batch, dim], and what they have taken, as the engine wants them."""

    def search(self, asked: Any, effort: int) -> Any:
        """The answer as the engine gives it."""

    def rows(self, answer: Any) -> list[list[int]]:
        """The rows that were found for each user."""


class Kind(Protocol):
    """How an engine is built and opened; a job is a case's fields with its threads."""

    def build(self, catalogue: Catalogue, path: Path, job: dict[str, Any]) -> None:
        """Writes the index to `path`, a file or a folder."""

    def open(self, path: Path, job: dict[str, Any]) -> Searcher:
        """Reads it."""
