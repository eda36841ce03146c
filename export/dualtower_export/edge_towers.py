"""The towers of an `edge` folder as functions over the catalogue that a phone holds in float16.

No TensorFlow: what ranks by RUN or by BUNDLE ranks by this too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from dualtower.bundle import MANIFEST, Bundle
from dualtower.errors import BundleError, UsageError
from dualtower_export.edge_files import FACTS, IDS, VECTORS, read_edge_facts
from dualtower_export.edge_model import EdgeModel
from dualtower_export.edge_runner import EdgeItemTower, tower_path
from dualtower_export.recorded_data import recorded_data
from dualtower_trainer.scoring_towers import Towers

__all__ = ["data_of_edge", "open_edge_towers"]


def open_edge_towers(folder: Path, variant: str | None = None, *, threads: int = 2) -> Towers:
    """The towers of `BUNDLE/edge`.

    Args:
        folder: the `edge` folder.
        variant: format of both towers; None takes the smallest of each that is there.
        threads: of an interpreter.

    Raises:
        BundleError: a file is missing or damaged.
        BundleMismatch: a file belongs to another bundle.
    """
    try:
        facts = read_edge_facts(folder)
        item_ids = json.loads((folder / IDS).read_text(encoding="utf-8"))
        vectors = np.fromfile(folder / VECTORS, "<f2")
        vectors = vectors.reshape(len(item_ids), facts["dim"]).astype(np.float32)
    except (OSError, ValueError, KeyError) as error:
        raise BundleError(
            f"{folder} is no whole `edge` folder of a bundle ({error}); it needs {FACTS}, {IDS} "
            f"and {VECTORS}: give BUNDLE/edge, or export the bundle again"
        ) from error
    blocked = np.zeros(len(item_ids), bool)
    blocked[facts["blocked_rows"]] = True
    user_tower = EdgeModel(tower_path(folder, "user_tower", variant), "user_tower", threads=threads)
    user_tower.must_share("fingerprint", facts["fingerprint"], FACTS)
    reader = _Histories(user_tower, vectors)
    texts = _Texts(folder, variant, facts["fingerprint"], threads)
    return Towers(
        item_ids=np.array(item_ids, object),
        blocked=blocked,
        vectors=vectors,
        embed_histories=reader.embed,
        embed_texts=texts.embed,
    )


def data_of_edge(folder: Path) -> Path:
    """The data folder that the bundle around `folder` records.

    Raises:
        UsageError: there is no bundle around it, or the data has moved.
    """
    parent = folder.absolute().parent
    if not (parent / MANIFEST).is_file():
        raise UsageError(
            f"{folder} lies in no bundle that could name its data; give the folder with the "
            "histories by --data DATA, or histories by --histories FILE"
        )
    return recorded_data(Bundle.open(parent))


class _Histories:
    def __init__(self, user_tower: EdgeModel, vectors: np.ndarray) -> None:
        self._embed, self._vectors = user_tower.signature(), vectors
        self._width = user_tower.facts["history_items"]

    def embed(self, histories: list[np.ndarray]) -> np.ndarray:
        """float32 [histories, dim] of catalogue rows, most recent first."""
        embeddings = np.empty((len(histories), self._vectors.shape[1]), np.float32)
        for place, rows in enumerate(histories):
            recent = rows[: self._width]
            items = np.zeros((1, self._width, self._vectors.shape[1]), np.float32)
            mask = np.zeros((1, self._width), np.float32)
            items[0, : len(recent)], mask[0, : len(recent)] = self._vectors[recent], 1
            embeddings[place] = self._embed(items=items, mask=mask)["embedding"][0]
        return embeddings


class _Texts:
    """The item tower, loaded when a text is to be embedded."""

    def __init__(self, folder: Path, variant: str | None, fingerprint: str, threads: int) -> None:
        self._folder, self._variant = folder, variant
        self._fingerprint, self._threads = fingerprint, threads

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [texts, dim]."""
        return self._tower.embed(texts)

    @cached_property
    def _tower(self) -> EdgeItemTower:
        path = tower_path(self._folder, "item_tower", self._variant)
        tower = EdgeItemTower(path, threads=self._threads)
        tower.model.must_share("fingerprint", self._fingerprint, FACTS)
        return tower
