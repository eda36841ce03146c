"""The catalogue that a phone holds: ids, float16 vectors, and what `edge.json` says of both."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dualtower.errors import BundleError

__all__ = ["FACTS", "IDS", "VECTORS", "VOCABULARY", "EdgeCatalogue", "read_catalogue", "read_facts"]

FACTS, IDS, VECTORS, VOCABULARY = (
    "edge.json", "item_ids.json", "item_vectors.float16", "vocab.txt",
)  # fmt: skip


@dataclass(frozen=True)
class EdgeCatalogue:
    """n items by their row.

    Attributes:
        facts: `fingerprint`, `version`, `dim`, `history_items`, `item_tokens`, ...
        item_ids: str [n].
        vectors: float32 [n, dim], of float16 digits.
        blocked: bool [n], items that are never recommended.
    """

    facts: dict[str, Any]
    item_ids: list[str]
    vectors: np.ndarray
    blocked: np.ndarray


def read_catalogue(folder: Path) -> EdgeCatalogue:
    """The catalogue in an `edge` folder.

    Raises:
        BundleError: a file is missing or damaged.
    """
    try:
        facts = read_facts(folder)
        item_ids = json.loads((folder / IDS).read_text(encoding="utf-8"))
        vectors = np.fromfile(folder / VECTORS, "<f2")
        vectors = vectors.reshape(len(item_ids), facts["dim"]).astype(np.float32)
        blocked = np.zeros(len(item_ids), bool)
        blocked[facts["blocked_rows"]] = True
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise BundleError(
            f"{folder} is no whole `edge` folder of a bundle ({error}); it needs {FACTS}, {IDS} "
            f"and {VECTORS}: give BUNDLE/edge, or export the bundle again"
        ) from error
    return EdgeCatalogue(facts, item_ids, vectors, blocked)


def read_facts(folder: Path) -> dict[str, Any]:
    """The content of `edge.json`."""
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    return facts
