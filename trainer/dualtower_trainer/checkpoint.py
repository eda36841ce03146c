"""A trained pair on disk: RUN/model, written whole and checked when it is read.

RUN/model/
  encoder/config.json  model.safetensors  vocab.txt
  towers.safetensors      item head, user tower, catalogue vectors, heads if there are any
  catalogue.parquet       item_id, text, category, blocked, warm and, where there are any, features
                          as they came; row = row of the vectors
  model.json              shapes, hashes, what it was trained on
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tf_keras as keras
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from dualtower.errors import DataError, UsageError
from dualtower.files import atomic_folder
from dualtower_trainer.data import Catalogue, SplitConfig
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.heads.heads import Heads
from dualtower_trainer.stored_catalogue import catalogue_table, read_catalogue
from dualtower_trainer.towers import (
    ItemShape,
    TowerConfig,
    build_item_head,
    build_user_tower,
    read_weights,
    shape_of,
    write_weights,
)

__all__ = [
    "Trained",
    "embed_histories",
    "embed_texts",
    "hash_tensors",
    "load_trained",
    "save_trained",
]

_SCHEMA = 2


@dataclass(frozen=True, eq=False)
class Trained:
    """What a RUN folder holds after `dualtower train`.

    Attributes:
        path: the RUN folder.
        config: shape of the towers.
        max_tokens: tokens of a text that the encoder reads.
        encoder_folder: a Hugging Face BERT folder.
        item_head: `pooled` [batch, hidden], `ids` and `mask` [batch, tokens] and `id_vector`
            [batch, dim - 1] to `embedding`; where the catalogue has vectors of another modality,
            also `features` [batch, width].
        user_tower: `items` [batch, history, dim] and `mask` to `embedding`.
        catalogue: the items; row i belongs to `vectors[i]`.
        warm: bool [items], seen in training, so the vector holds an id residual.
        vectors: float32 [items, dim], of length 1.
        encoder_sha256: of the encoder's weights.
        weights_sha256: of encoder, towers and vectors together.
        text_template: how the text of an item was made.
        split: how the data was split.
        data_path: the data folder as it was given.
        training: the content of training.json.
        heads: what section [heads] asked for, of `embed_histories` and `vectors`; None without, or
            where the closed form was kept. No export has them.
    """

    path: Path
    config: TowerConfig
    max_tokens: int
    encoder_folder: Path
    item_head: keras.Model
    user_tower: keras.Model
    catalogue: Catalogue
    warm: np.ndarray
    vectors: np.ndarray
    encoder_sha256: str
    weights_sha256: str
    text_template: str
    split: SplitConfig
    data_path: Path
    training: Mapping[str, Any]
    heads: Heads | None = None

    @property
    def item_ids(self) -> np.ndarray:
        return self.catalogue.item_ids

    @property
    def texts(self) -> np.ndarray:
        return self.catalogue.texts

    @property
    def categories(self) -> np.ndarray | None:
        return self.catalogue.categories

    @property
    def blocked(self) -> np.ndarray:
        return self.catalogue.blocked

    def encoder(self) -> Encoder:
        """The encoder of this run; loaded once.

        Raises:
            DataError: a file of it is missing or truncated, or its weights are not those that the
                towers were trained on.
        """
        return self._encoder

    @cached_property
    def _encoder(self) -> Encoder:
        repair = f"train it again: dualtower train --data DATA --out {self.path} --overwrite"
        try:
            encoder = Encoder.load(self.encoder_folder, self.max_tokens)
        except UsageError as error:
            raise DataError(f"the encoder of {self.path} is damaged: {error}; {repair}") from error
        if encoder.sha256 != self.encoder_sha256:
            changed = self.encoder_folder / "model.safetensors"
            raise DataError(f"{changed} was changed after training; {repair}")
        return encoder

    def embed_texts(self, texts: Sequence[str | bytes], *, batch_size: int = 256) -> np.ndarray:
        """Item embeddings float32 [texts, dim], as of items that training never saw."""
        return embed_texts(self._encoder, self.item_head, texts, batch_size)

    def embed_histories(self, histories: list[np.ndarray], *, batch_size: int = 256) -> np.ndarray:
        """User embeddings float32 [histories, dim] of catalogue rows, most recent first."""
        return embed_histories(self.user_tower, self.vectors, histories, self.config, batch_size)


def embed_histories(
    user_tower: keras.Model,
    vectors: np.ndarray,
    histories: list[np.ndarray],
    config: TowerConfig,
    batch_size: int = 128,
) -> np.ndarray:
    """Runs the user tower over histories of catalogue rows; float32 [histories, dim]."""
    out = np.zeros((len(histories), config.dim), np.float32)
    read = [history[: config.history_items] for history in histories]
    order = np.argsort([len(history) for history in read], kind="stable")
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]  # of similar length, so that little is padding
        longest = max(1, len(read[places[-1]]))
        rows = np.zeros((len(places), longest), np.int64)
        mask = np.zeros(rows.shape, np.float32)
        for row, place in enumerate(places):
            rows[row, : len(read[place])] = read[place]
            mask[row, : len(read[place])] = 1
        items = vectors[rows] * mask[..., None]
        out[places] = user_tower({"items": items, "mask": mask}, training=False).numpy()
    return out


def embed_texts(
    encoder: Encoder, item_head: keras.Model, texts: Sequence[str | bytes], batch_size: int = 256
) -> np.ndarray:
    """Runs encoder and item head over texts and nothing else; float32 [texts, dim]."""
    parts = [np.empty((0, item_head.output_shape[-1]), np.float32)]
    others = {
        name: item_head.input[name].shape[-1]
        for name in ("id_vector", "features")
        if name in item_head.input
    }
    for start in range(0, len(texts), batch_size):
        part = list(texts[start : start + batch_size])
        ids, mask = encoder.tokenizer(part)
        pooled = encoder.encode(part)
        inputs = {"pooled": pooled, "ids": ids, "mask": mask}
        inputs |= {name: np.zeros((len(part), n), np.float32) for name, n in others.items()}
        parts.append(item_head(inputs, training=False).numpy())
    return np.concatenate(parts)


def hash_tensors(tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name}|{tensor.dtype.str}|{tensor.shape}|".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def save_trained(
    run: Path,
    *,
    config: TowerConfig,
    encoder: Encoder,
    item_head: keras.Model,
    user_tower: keras.Model,
    catalogue: Catalogue,
    warm: np.ndarray,
    vectors: np.ndarray,
    split: SplitConfig,
    data_path: Path,
    training: Mapping[str, Any],
    text_template: str = "{text}",
    heads: Heads | None = None,
) -> None:
    """Writes RUN/model, whole or not at all; a model that is there already is replaced."""
    tensors = {f"item_head/{name}": value for name, value in read_weights(item_head).items()}
    tensors |= {f"user_tower/{name}": value for name, value in read_weights(user_tower).items()}
    tensors["catalogue/vectors"] = np.ascontiguousarray(vectors, np.float32)
    if heads is not None:
        tensors |= {f"heads/{name}": value for name, value in heads.tensors().items()}
    facts = {
        "schema": _SCHEMA,
        "model": asdict(config),
        "encoder": {"hidden": encoder.hidden, "sha256": encoder.sha256},
        "wide": asdict(shape_of(item_head)),
        "max_tokens": encoder.max_tokens,
        "towers_sha256": hash_tensors(tensors),
        "text_template": text_template,
        "split": asdict(split),
        "data_path": str(data_path),
        "training": dict(training),
    }
    if heads is not None:
        facts["heads"] = heads.facts()
    final = run / "model"
    fresh = run / "model.new"
    shutil.rmtree(fresh, ignore_errors=True)
    with atomic_folder(fresh) as folder:
        encoder.save(folder / "encoder")
        # not save_file: it reports a full disk as an error of its own kind
        (folder / "towers.safetensors").write_bytes(save(tensors))
        pq.write_table(catalogue_table(catalogue, warm), folder / "catalogue.parquet")
        (folder / "model.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    if final.exists():
        shutil.rmtree(final)
    fresh.rename(final)


def load_trained(run: Path) -> Trained:
    """Reads RUN/model and checks its hashes.

    Raises:
        UsageError: RUN holds no trained model, or one of another schema.
        DataError: a file is truncated or was changed.
    """
    folder = run / "model"
    repair = f"train it again: dualtower train --data DATA --out {run} --overwrite"
    try:
        facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(
            f"{run} holds no trained model (no model/model.json); "
            f"run: dualtower train --data DATA --out {run}"
        ) from error
    except ValueError as error:
        raise DataError(f"{folder / 'model.json'} is damaged ({error}); {repair}") from error
    if not isinstance(facts, dict):
        raise DataError(f"{folder / 'model.json'} is damaged (no object of JSON); {repair}")
    if facts.get("schema") != _SCHEMA:
        raise UsageError(
            f"{run} was trained with model schema {facts.get('schema')}, this dualtower reads "
            f"{_SCHEMA}; {repair}"
        )
    try:
        tensors = load_file(folder / "towers.safetensors")
        table = pq.read_table(folder / "catalogue.parquet")
    except (OSError, SafetensorError, pa.ArrowInvalid) as error:
        raise DataError(f"{folder} is damaged ({error}); {repair}") from error
    try:
        if hash_tensors(tensors) != facts["towers_sha256"]:
            raise DataError(f"{folder / 'towers.safetensors'} was changed after training; {repair}")
        return _put_together(run, facts, tensors, read_catalogue(table), table["warm"].to_numpy())
    except (KeyError, TypeError, ValueError) as error:
        said = f"{type(error).__name__} {error}" if isinstance(error, KeyError) else error
        raise DataError(f"{folder} is damaged ({said}); {repair}") from error


def _put_together(
    run: Path,
    facts: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    catalogue: Catalogue,
    warm: np.ndarray,
) -> Trained:
    """The pair out of what was read.

    Raises:
        KeyError, TypeError, ValueError: the parts do not fit each other.
    """
    vectors = tensors["catalogue/vectors"]
    if len(vectors) != len(catalogue):
        raise ValueError(f"{len(catalogue)} items in the catalogue, but {len(vectors)} vectors")
    config = TowerConfig(**facts["model"])
    item_head = build_item_head(config, ItemShape(**facts["wide"]))
    user_tower = build_user_tower(config)
    write_weights(item_head, _part(tensors, "item_head/"))
    write_weights(user_tower, _part(tensors, "user_tower/"))
    heads = None
    if "heads" in facts:
        heads = Heads.of(facts["heads"], config.dim - 2, _part(tensors, "heads/"))
    weights = hashlib.sha256(f"{facts['encoder']['sha256']}{facts['towers_sha256']}".encode())
    return Trained(
        path=run,
        config=config,
        max_tokens=facts["max_tokens"],
        encoder_folder=run / "model" / "encoder",
        item_head=item_head,
        user_tower=user_tower,
        catalogue=catalogue,
        warm=warm,
        vectors=vectors,
        encoder_sha256=facts["encoder"]["sha256"],
        weights_sha256=weights.hexdigest(),
        text_template=facts["text_template"],
        split=SplitConfig(**facts["split"]),
        data_path=Path(facts["data_path"]),
        training=facts["training"],
        heads=heads,
    )


def _part(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
