"""Recommendations as a phone makes them, in Python: LiteRT, `tokenizers` and numpy. No TensorFlow.

    recommender.VARIANT.tflite                          ids ─► list
    user_tower + catalogue (+ item_tower for texts)     ids and texts ─► list

The files are all that is read; each says which pair it belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from dualtower.edge.model import EdgeModel, smallest
from dualtower.edge.tokenizer import Tokenizer
from dualtower.errors import UsageError

__all__ = [
    "EdgeItemTower",
    "EdgeRecommender",
    "EdgeUserTower",
    "NewItem",
    "Recommendation",
    "tower_path",
]


@dataclass(frozen=True)
class NewItem:
    """An item of a history that the catalogue lacks, by its text."""

    text: str


@dataclass(frozen=True)
class Recommendation:
    """An item and its score."""

    item_id: str
    score: float


def tower_path(folder: Path, part: str, variant: str | None) -> Path:
    """The file of "item_tower" or "user_tower".

    Args:
        folder: `BUNDLE/edge`.
        part: which tower.
        variant: format of both, e.g. "float16", or of an item tower of another length, e.g.
            "dynamic_int8.t16"; None takes the smallest of each.
    """
    if variant is None:
        return folder / f"{part}.{smallest(folder, part)}.tflite"
    if part == "user_tower":  # it reads no text, so it has one length
        variant = variant.partition(".")[0]
    return folder / f"{part}.{variant}.tflite"


class EdgeItemTower:
    """Texts to vectors by one file; a text that is longer than the file reads is cut.

    Args:
        path: `item_tower.VARIANT.tflite`.
        threads: of the interpreter.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        self.model = EdgeModel(path, "item_tower", threads=threads)
        facts = self.model.facts
        pieces = self.model.files["vocab.txt"].decode("utf-8").removesuffix("\n").split("\n")
        self._tokenizer = Tokenizer(
            pieces, lowercase=facts["lowercase"], max_tokens=facts["item_tokens"]
        )
        self._any_length = bool(facts.get("any_length"))
        self._embed = self.model.signature()

    def embed(self, texts: Sequence[str | bytes]) -> np.ndarray:
        """Item embeddings float32 [texts, dim]."""
        vectors = np.empty((len(texts), self.model.facts["dim"]), np.float32)
        for row, ids in enumerate(self._tokenizer.rows(texts)):
            width = len(ids) if self._any_length else self._tokenizer.max_tokens
            request = np.zeros((2, 1, width), np.int32)
            request[0, 0, : len(ids)], request[1, 0, : len(ids)] = ids, 1
            vectors[row] = self._embed(ids=request[0], mask=request[1])["embedding"][0]
        return vectors


class EdgeUserTower:
    """Vectors of items to the vector of who took them, by one file.

    Args:
        path: `user_tower.VARIANT.tflite`.
        threads: of the interpreter.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        self.model = EdgeModel(path, "user_tower", threads=threads)
        self._embed = self.model.signature()

    @property
    def width(self) -> int:
        """The most items of a history."""
        return int(self.model.facts["history_items"])

    def embed(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """User embeddings float32 [histories, dim] of item vectors, each [at most width, dim]."""
        dim = self.model.facts["dim"]
        embeddings = np.empty((len(histories), dim), np.float32)
        for place, vectors in enumerate(histories):
            items = np.zeros((1, self.width, dim), np.float32)
            mask = np.zeros((1, self.width), np.float32)
            items[0, : len(vectors)], mask[0, : len(vectors)] = vectors, 1
            embeddings[place] = self._embed(items=items, mask=mask)["embedding"][0]
        return embeddings


class EdgeRecommender:
    """The recommender of one `edge` folder.

    Args:
        folder: `BUNDLE/edge`, or a folder with some of its files.
        variant: format of the catalogue, "int8" or "float16"; None takes the smallest there.
        tower: format of the towers, where there are two files; None takes the smallest there.
        one_file: whether `recommender.VARIANT.tflite` answers, which knows ids alone; else the
            user tower and `catalogue.VARIANT.tflite`.
        threads: of each interpreter.

    Raises:
        BundleError: a file is missing or damaged.
        BundleMismatch: the catalogue belongs to other towers.

    Example:
        recommender = EdgeRecommender(Path("bundle/edge"))
        recommender.recommend(["item-17", NewItem("oat milk, barista edition")], k=10)
    """

    def __init__(
        self,
        folder: Path,
        *,
        variant: str | None = None,
        tower: str | None = None,
        one_file: bool = False,
        threads: int = 1,
    ) -> None:
        part = "recommender" if one_file else "catalogue"
        variant = variant or smallest(folder, part)
        self._folder, self._threads, self._tower_variant = folder, threads, tower
        self._catalogue = EdgeModel(folder / f"{part}.{variant}.tflite", part, threads=threads)
        self.facts = self._catalogue.facts
        self.item_ids = self._catalogue.item_ids()
        self._row_of = {item_id: row for row, item_id in enumerate(self.item_ids)}
        self._one_file = self._catalogue.signature() if one_file else None
        if not one_file:
            self._vectors, self._rank = map(self._catalogue.signature, ("vectors", "rank"))
            user_tower = EdgeModel(self._tower_path("user_tower"), "user_tower", threads=threads)
            user_tower.must_share("towers", self.facts["towers"], self._catalogue.path.name)
            self._user_tower = user_tower.signature()

    @property
    def k(self) -> int:
        """The most items of a list."""
        return int(self.facts["k"])

    def recommend(
        self, history: Sequence[str | NewItem], k: int | None = None
    ) -> list[Recommendation]:
        """The best items that are neither in the history nor blocked, best first.

        Args:
            history: what a person took, the most recent first: ids, or texts of what has no id.
                Ids that the catalogue lacks are skipped, repeats count once, and what is older than
                the tower reads is left out of the list, and not filled up for.
            k: length of the list; None takes all that the file gives.

        Raises:
            UsageError: `k` is not in 1..self.k, or a text came to the one file.
        """
        if k is not None and not 1 <= k <= self.k:
            raise UsageError(
                f"k must be from 1 to {self.k}, which this file lists (export.edge_k); got {k}"
            )
        entries = list(dict.fromkeys(
            entry for entry in history if isinstance(entry, NewItem) or entry in self._row_of
        ))  # fmt: skip
        rows = [self._row_of[entry] if isinstance(entry, str) else -1 for entry in entries]
        answer = self._ask(entries[: self._width], np.array(rows[: self._width], np.int32))
        older = set(rows[self._width :])
        pairs = zip(answer["rows"][0].tolist(), answer["scores"][0].tolist(), strict=True)
        return [
            Recommendation(self.item_ids[row], score)
            for row, score in pairs
            if row >= 0 and row not in older
        ][: k or self.k]

    @property
    def _width(self) -> int:
        return int(self.facts["history_items"])

    def _ask(self, entries: Sequence[str | NewItem], rows: np.ndarray) -> dict[str, np.ndarray]:
        """The answer to entries that fit; `rows` is -1 for a text."""
        history = np.zeros((1, self._width), np.int32)
        known = np.zeros((1, self._width), np.float32)
        history[0, : len(rows)], known[0, : len(rows)] = np.maximum(rows, 0), rows >= 0
        texts = [entry.text for entry in entries if isinstance(entry, NewItem)]
        if self._one_file is not None:
            if texts:
                raise UsageError(
                    f"{self._catalogue.path} knows items by id alone, got the text {texts[0]!r}; "
                    "the user tower and catalogue.*.tflite read texts too (one_file=False)"
                )
            return self._one_file(history=history, mask=known)
        mask = known.copy()
        mask[0, : len(rows)] = 1
        items = self._vectors(history=history)["items"] * known[..., None]
        if texts:
            items[0, : len(rows)][rows < 0] = self._item_tower.embed(texts)
        embedding = self._user_tower(items=items, mask=mask)["embedding"]
        return self._rank(embedding=embedding, history=history, mask=known)

    @cached_property
    def _item_tower(self) -> EdgeItemTower:
        """Loaded at the first text."""
        tower = EdgeItemTower(self._tower_path("item_tower"), threads=self._threads)
        tower.model.must_share("towers", self.facts["towers"], self._catalogue.path.name)
        return tower

    def _tower_path(self, part: str) -> Path:
        return tower_path(self._folder, part, self._tower_variant)
