"""Which files for a phone fit together: the fingerprint of the two towers without the catalogue.

A bundle's fingerprint covers its catalogue too, so a phone that gets a new catalogue gets a new
fingerprint. What an old tower needs of a new catalogue is less: that its vectors come from the same
item tower, and are read by the same user tower. That is this fingerprint.
"""

from __future__ import annotations

from dualtower.bundle import fingerprint_of
from dualtower_export.space import hash_strings
from dualtower_trainer.checkpoint import Trained, hash_tensors
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.towers import WEIGHT_SCALE, read_weights

__all__ = ["towers_fingerprint"]


def towers_fingerprint(trained: Trained, encoder: Encoder) -> str:
    """64 hexadecimal digits, alike in two runs whose towers are alike, whatever their items."""
    return fingerprint_of(
        {
            "dim": trained.config.dim,
            "encoder_sha256": encoder.sha256,
            "history_items": trained.config.history_items,
            "item_head_sha256": hash_tensors(read_weights(trained.item_head)),
            "item_tokens": trained.max_tokens,
            "layout": "taste weight rest",
            "lowercase": encoder.tokenizer.lowercase,
            "text_template": trained.text_template,
            "user_tower_sha256": hash_tensors(read_weights(trained.user_tower)),
            "vocabulary_sha256": hash_strings(encoder.tokenizer.vocab),
            "weight_scale": WEIGHT_SCALE,
        }
    )
