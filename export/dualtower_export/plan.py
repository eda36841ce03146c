"""What an export of a run would be: everything that is known before anything is written."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from dualtower.bundle import MODELS, fingerprint_of
from dualtower.errors import UnavailableError
from dualtower_export.catalogue_index import CatalogueIndex
from dualtower_export.config import ExportConfig
from dualtower_export.search_index import check_index
from dualtower_export.server_target import check_target
from dualtower_export.serving_models import Description
from dualtower_export.space import space_of
from dualtower_trainer.checkpoint import Trained, load_trained
from dualtower_trainer.encoder import Encoder

__all__ = ["Plan", "check_room", "plan_export"]


@dataclass(frozen=True)
class Plan:
    """A run, read and checked, and what its bundle will say of itself."""

    trained: Trained
    encoder: Encoder
    index: CatalogueIndex
    space: dict[str, Any]
    fingerprint: str
    config: ExportConfig

    @property
    def k_max(self) -> int:
        """Length of a recommendation list: the setting, cut to the size of the catalogue."""
        return min(self.config.k_max, len(self.index.item_ids))

    @property
    def room_bytes(self) -> int:
        """Space on the disk that the export needs at most, generously."""
        weights = sum(tensor.nbytes for tensor in self.encoder.tensors.values())
        towers = (self.trained.item_head, self.trained.user_tower)
        weights += sum(weight.nbytes for tower in towers for weight in tower.get_weights())
        catalogue = self.trained.vectors.nbytes + sum(map(len, self.trained.texts)) * 8
        models = len(MODELS) * (weights + catalogue)
        models += (self.config.encoder_copies - 1) * weights
        lengths = len(self.config.edge_tokens) * len(self.config.edge_tokens_variants)
        edge = (len(self.config.variants) + lengths) * weights + catalogue
        edge += 2 * len(self.config.edge_recommenders) * catalogue
        return models + edge + 2 * catalogue + (64 << 20)

    def describe(self, model: str) -> Description:
        """What one of the models answers to `describe`."""
        return Description(
            model=model,
            fingerprint=self.fingerprint,
            bundle_version=self.config.version,
            dim=self.trained.config.dim,
            history_items=self.trained.config.history_items,
            item_tokens=self.trained.max_tokens,
            k_max=self.k_max,
        )


def plan_export(run: Path, config: ExportConfig) -> Plan:
    """Reads a run.

    Raises:
        UsageError, DataError: the run is missing, truncated, or its catalogue cannot be served; or
            TensorFlow is newer than the server.
    """
    check_target(tf.__version__, config.target_serving, force=config.force_newer)
    trained = load_trained(run)
    encoder = trained.encoder()
    index = CatalogueIndex.of(list(trained.item_ids), list(trained.texts))
    check_index(trained.vectors, trained.item_ids, trained.blocked, config)
    space = space_of(trained, encoder)
    return Plan(trained, encoder, index, space, fingerprint_of(space), config)


def check_room(needed_bytes: int, out: Path) -> None:
    """Refuses early what could not end well.

    Raises:
        UnavailableError: the disk of `out` has less than `needed_bytes` free.
    """
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    free_bytes = shutil.disk_usage(place).free
    if free_bytes < needed_bytes:
        raise UnavailableError(
            f"no space left for {out}: the export needs up to {needed_bytes / 1e6:.0f} MB, "
            f"{free_bytes / 1e6:.0f} MB are free. Free some (`df -h {place}`), or choose another "
            "folder with --out"
        )
