"""The towers of a bundle as functions: its SavedModels over its index, with no server between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dualtower.bundle import Bundle, sha256_of
from dualtower.errors import BundleError, BundleMismatch
from dualtower_export.serving_session import ServedModel, open_model
from dualtower_trainer.scoring_towers import Towers

__all__ = ["open_bundle_towers"]

_BATCH = 256


@contextmanager
def open_bundle_towers(bundle: Bundle) -> Iterator[Towers]:
    """Loads the user tower; the item tower is loaded when a text is to be embedded.

    Raises:
        BundleError: the index is missing or was changed.
        BundleMismatch: a model belongs to another bundle.
    """
    table = _read_index(bundle)
    item_ids = table["item_id"].to_numpy(zero_copy_only=False).astype(object)
    vectors = table["vector"].combine_chunks().flatten().to_numpy().reshape(-1, bundle.dim)
    history_items = int(bundle.manifest["space"]["history_items"])
    with _open(bundle, "user_tower") as user_tower:
        yield Towers(
            item_ids=item_ids,
            blocked=table["blocked"].to_numpy(),
            vectors=vectors,
            embed_histories=lambda histories: _embed_histories(
                user_tower, [item_ids[rows[:history_items]] for rows in histories]
            ),
            embed_texts=lambda texts: _embed_texts(bundle, texts),
        )


def _read_index(bundle: Bundle) -> pa.Table:
    path = bundle.catalogue_path
    name = path.relative_to(bundle.path).as_posix()
    try:
        if sha256_of(path) != bundle.manifest["files"][name]["sha256"]:
            raise BundleError(f"{path} was changed after the export; run: dualtower verify")
        return pq.read_table(path)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise BundleError(f"{path} cannot be read ({error}); export the bundle again") from error


@contextmanager
def _open(bundle: Bundle, name: str) -> Iterator[ServedModel]:
    folder = bundle.model_path(name) / str(bundle.version)
    if not (folder / "saved_model.pb").is_file():
        raise BundleError(f"{folder} holds no model; export the bundle again")
    with open_model(folder) as model:
        found = model("describe")["fingerprint"][0].decode()
        if found != bundle.fingerprint:
            raise BundleMismatch(
                expected=bundle.fingerprint,
                found=found,
                where=str(folder),
                repair="export the bundle again",
            )
        yield model


def _embed_histories(model: ServedModel, histories: Sequence[np.ndarray]) -> np.ndarray:
    parts = []
    for start in range(0, len(histories), _BATCH):
        part = histories[start : start + _BATCH]
        request = np.full((len(part), max(1, *map(len, part))), "", object)
        for place, item_ids in enumerate(part):
            request[place, : len(item_ids)] = item_ids
        parts.append(model("from_item_ids", item_ids=request)["embedding"])
    return np.concatenate(parts)


def _embed_texts(bundle: Bundle, texts: Sequence[str]) -> np.ndarray:
    with _open(bundle, "item_tower") as model:
        return np.concatenate(
            [
                model("serving_default", text=np.array(texts[start : start + _BATCH], object))[
                    "embedding"
                ]
                for start in range(0, len(texts), _BATCH)
            ]
        )
