"""What a phone needs beside the TFLite files, without a Parquet reader.

    edge/vocab.txt             word pieces of the item tower, one a line
    edge/item_ids.json         ids by catalogue row
    edge/item_vectors.float16  little-endian float16 [items, dim], row after row
    edge/edge.json             fingerprint, shapes, and which rows are blocked

A phone looks up the vectors of the history, runs the user tower on them, and ranks the table by dot
product; it runs the item tower only for a text that the catalogue lacks.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dualtower.edge.catalogue import FACTS, IDS, VECTORS, VOCABULARY

if TYPE_CHECKING:  # who reads the files needs no TensorFlow
    from dualtower.edge.tokenizer import Tokenizer
    from dualtower_trainer.checkpoint import Trained

__all__ = ["half_vectors", "write_edge_files"]


def half_vectors(vectors: np.ndarray) -> np.ndarray:
    """The catalogue as a phone holds it, little-endian float16 [items, dim]."""
    return vectors.astype("<f2")


def write_edge_files(
    folder: Path, trained: Trained, tokenizer: Tokenizer, *, fingerprint: str, version: int
) -> None:
    """Writes the four files into the `edge` folder of a bundle."""
    vocabulary = "\n".join(tokenizer.vocab) + "\n"
    (folder / VOCABULARY).write_bytes(vocabulary.encode("utf-8"))
    ids = json.dumps(list(trained.item_ids), ensure_ascii=False)
    (folder / IDS).write_text(ids + "\n", encoding="utf-8")
    (folder / VECTORS).write_bytes(half_vectors(trained.vectors).tobytes())
    facts = {
        "fingerprint": fingerprint,
        "version": version,
        "dim": trained.config.dim,
        "history_items": trained.config.history_items,
        "item_tokens": trained.max_tokens,
        "lowercase": tokenizer.lowercase,
        "items": len(trained.item_ids),
        "blocked_rows": np.flatnonzero(trained.blocked).tolist(),
        "item_ids": IDS,
        "item_vectors": VECTORS,
        "vocabulary": VOCABULARY,
    }
    (folder / FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
