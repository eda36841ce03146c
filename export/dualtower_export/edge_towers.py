"""The towers of an `edge` folder as functions over the catalogue that a phone holds in float16.

No TensorFlow: what ranks by RUN or by BUNDLE ranks by this too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from dualtower.bundle import MANIFEST, Bundle
from dualtower.edge.catalogue import FACTS, read_catalogue
from dualtower.edge.runner import EdgeItemTower, EdgeUserTower, tower_path
from dualtower.errors import UsageError
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
    catalogue = read_catalogue(folder)
    fingerprint = catalogue.facts["fingerprint"]
    user_tower = EdgeUserTower(tower_path(folder, "user_tower", variant), threads=threads)
    user_tower.model.must_share("fingerprint", fingerprint, FACTS)
    texts = _Texts(folder, variant, fingerprint, threads)
    return Towers(
        item_ids=np.array(catalogue.item_ids, object),
        blocked=catalogue.blocked,
        vectors=catalogue.vectors,
        embed_histories=lambda histories: user_tower.embed(
            [catalogue.vectors[rows[: user_tower.width]] for rows in histories]
        ),
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
