"""What the metadata of each file for a phone says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from dualtower.edge.metadata import Associated, FileCard, TensorCard
from dualtower.edge.tokenizer import Tokenizer
from dualtower_export.config import ExportConfig
from dualtower_export.edge_pair import towers_fingerprint
from dualtower_export.edge_source import ANY_LENGTH
from dualtower_trainer.checkpoint import Trained
from dualtower_trainer.encoder import Encoder

__all__ = ["IDS_INSIDE", "VOCABULARY_INSIDE", "Identity", "recommender_card", "tower_card"]

VOCABULARY_INSIDE, IDS_INSIDE = "vocab.txt", "item_ids.json"
# the third input of every BERT that MediaPipe fills; our towers read one text at a time
_SEGMENTS = "segment_ids"
_HISTORY = (
    TensorCard("history", "Rows of the catalogue that a person took, the most recent first."),
    TensorCard("mask", "1 where a row counts, 0 behind the last."),
)
_RANKING = (
    TensorCard("rows", "Rows of the catalogue, the best first; -1 where no more item remains."),
    TensorCard("scores", "Their dot products with the person's embedding; -inf beside -1."),
)


@dataclass(frozen=True)
class Identity:
    """Which bundle a file belongs to.

    Attributes:
        fingerprint: of the bundle, its catalogue included.
        towers: of both towers without a catalogue; see `edge_pair`.
        version: of the bundle.
        licence: of data and encoder, in words.
    """

    fingerprint: str
    towers: str
    version: int
    licence: str

    @classmethod
    def of(
        cls, trained: Trained, encoder: Encoder, config: ExportConfig, fingerprint: str
    ) -> Identity:
        """What the files of an export share."""
        stated = {"Data": config.data_licence, "Encoder": config.encoder_licence}
        licence = " ".join(f"{part}: {text}." for part, text in stated.items() if text)
        towers = towers_fingerprint(trained, encoder)
        return cls(fingerprint, towers, config.version, licence or "not stated")

    def facts(self, part: str, variant: str, **sizes: int | bool) -> dict[str, str | int | bool]:
        """The custom entry of a file."""
        return {
            "fingerprint": self.fingerprint,
            "towers": self.towers,
            "version": self.version,
            "part": part,
            "variant": variant,
            **sizes,
        }


def tower_card(
    identity: Identity,
    trained: Trained,
    tokenizer: Tokenizer,
    tower: str,
    variant: str,
    *,
    tokens: int,
) -> FileCard:
    """Of `item_tower` or `user_tower`.

    Args:
        identity: what the file belongs to.
        trained: the run.
        tokenizer: of the item tower.
        tower: which.
        variant: as the file is named, its length included.
        tokens: length of an item tower's input; ANY_LENGTH where it is free, up to the run's.
    """
    config = trained.config
    length = (
        f"float32 [1, {config.dim}] of length 1: {config.dim - 2} numbers of taste, the item's "
        "weight in a history, and what fills up to length 1. "
    )
    if tower == "user_tower":
        return FileCard(
            name="dualtower user tower",
            description="The embedding of a person from the vectors of what they took.",
            version=str(identity.version),
            licence=identity.licence,
            inputs=(
                TensorCard("items", "Vectors of items, the most recent first, zeros behind."),
                TensorCard("mask", "1 where an item is, 0 behind the last."),
            ),
            outputs=(
                TensorCard(
                    "embedding",
                    length + "The last two are 0 here; rank items by dot product with it.",
                ),
            ),
            facts=identity.facts(
                tower, variant, dim=config.dim, history_items=config.history_items
            ),
        )
    vocabulary = "\n".join(tokenizer.vocab) + "\n"
    return FileCard(
        name="dualtower item tower",
        description="The embedding of an item from its text.",
        version=str(identity.version),
        licence=identity.licence,
        inputs=(
            TensorCard("ids", "Word pieces of the text, between [CLS] and [SEP]."),
            TensorCard("mask", "1 where a word piece is, 0 where padding is."),
            TensorCard(_SEGMENTS, "Not read; for runtimes that fill in the three of every BERT."),
        ),
        outputs=(
            TensorCard(
                "embedding", length + "Compare two items by the dot product of their tastes."
            ),
        ),
        facts=identity.facts(
            tower, variant, dim=config.dim, item_tokens=tokens or trained.max_tokens,
            lowercase=tokenizer.lowercase, any_length=tokens == ANY_LENGTH,
        ),
        files=(
            Associated(
                VOCABULARY_INSIDE, vocabulary.encode("utf-8"), "Word pieces, one a line.",
                "vocabulary",
            ),
        ),
        vocabulary=VOCABULARY_INSIDE,
        unread_input=_SEGMENTS,
    )  # fmt: skip


def recommender_card(
    identity: Identity, trained: Trained, form: str, variant: str, k: int
) -> FileCard:
    """Of `recommender`, which is one file, or of `catalogue`, which goes with a user tower."""
    config, item_ids = trained.config, list(trained.item_ids)
    inputs: Sequence[TensorCard] = _HISTORY
    description = "What a person may like next, from what they took."
    if form == "catalogue":
        inputs = (TensorCard("embedding", "Of a person, by the user tower."), *_HISTORY)
        description = "The vectors of a catalogue, and its ranking for an embedding of a person."
    ids = json.dumps(item_ids, ensure_ascii=False).encode("utf-8")
    return FileCard(
        name=f"dualtower {form}",
        description=description,
        version=str(identity.version),
        licence=identity.licence,
        inputs=inputs,
        outputs=_RANKING,
        facts=identity.facts(
            form, variant, dim=config.dim, history_items=config.history_items,
            items=len(item_ids), k=k,
        ),
        files=(Associated(IDS_INSIDE, ids, "Ids of the catalogue's rows."),),
    )  # fmt: skip
