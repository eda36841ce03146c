"""The embedding space of a trained run: all that decides what a vector means.

The fingerprint is the hash of this. What only decides how vectors are used (length of a list,
blocked items, batch sizes, the version number) is no part of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from dualtower_export import contract
from dualtower_trainer.checkpoint import Trained
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.towers import WEIGHT_SCALE, shape_of

__all__ = ["hash_strings", "space_of"]


def space_of(trained: Trained, encoder: Encoder) -> dict[str, Any]:
    """The `space` of a manifest; plain JSON."""
    tokenizer = encoder.tokenizer
    return {
        "catalogue_sha256": hash_strings([*trained.item_ids, *trained.texts]),
        "dim": trained.config.dim,
        "encoder": asdict(encoder.config),
        "hidden_units": trained.config.hidden_units,
        "history_items": trained.config.history_items,
        "item_head": asdict(shape_of(trained.item_head)),
        "item_tokens": trained.max_tokens,
        "layout": "taste weight rest",
        "lowercase": tokenizer.lowercase,
        "normalisation": "l2",
        "signatures": contract.as_json(),
        "text_template": trained.text_template,
        "vocabulary_sha256": hash_strings(tokenizer.vocab),
        "weight_scale": WEIGHT_SCALE,
        "weights_sha256": trained.weights_sha256,
    }


def hash_strings(strings: Iterable[str]) -> str:
    """SHA-256 over each string's length and UTF-8 bytes, so that no two lists run into one."""
    digest = hashlib.sha256()
    for string in strings:
        raw = string.encode("utf-8", "surrogatepass")
        digest.update(f"{len(raw)}:".encode())
        digest.update(raw)
    return digest.hexdigest()
