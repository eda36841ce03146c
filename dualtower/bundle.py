"""The bundle: both towers and everything that must agree with them, in one immutable folder.

    BUNDLE/
      serving/user_tower/N  item_tower/N  recommender/N   SavedModels, N the same integer
      serving/models.config  batching.config              base paths under /models, see below
      edge/*.tflite  vocab.txt                            files for a phone
      index/catalogue.parquet                             item ids, texts, vectors
      bundle.json  model_card.md

The *space* is the part of the manifest that defines the embedding space: hashes of weights and
vocabulary, text template, dimension, normalisation, signatures. The fingerprint is its hash, so two
exports of one checkpoint agree and any change to what a vector means does not.

`models.config` names base paths under `/models`, where the official container mounts them; a bundle
can therefore be moved. `Bundle.models_config` renders it for the place where the bundle lies now.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtower.errors import BundleError

__all__ = [
    "CONTAINER_ROOT",
    "MANIFEST",
    "MODELS",
    "SCHEMA_VERSION",
    "Bundle",
    "Problem",
    "describe_files",
    "fingerprint_of",
    "sha256_of",
    "verify",
    "write_manifest",
]

SCHEMA_VERSION = 1
MANIFEST = "bundle.json"
MODELS = ("user_tower", "item_tower", "recommender")
CONTAINER_ROOT = "/models"
_REQUIRED = ("schema_version", "fingerprint", "version", "space", "files")


@dataclass(frozen=True)
class Problem:
    """One thing that `verify` found: the part, and what is wrong with it."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk, opened by its manifest; the parts are not read.

    Example:
        bundle = Bundle.open("bundle")
        bundle.fingerprint, bundle.version, bundle.dim
        bundle.model_path("user_tower")      # .../serving/user_tower
    """

    path: Path
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """Reads the manifest and checks that it is whole and of a schema we know.

        Raises:
            BundleError: no bundle is there, the manifest is broken, or its schema is newer.
        """
        folder = Path(path)
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise BundleError(
                f"{folder} is no bundle: it has no {MANIFEST}; "
                f"make one with `dualtower export RUN --out {folder}`"
            ) from error
        except (OSError, ValueError) as error:
            raise BundleError(
                f"{folder / MANIFEST} cannot be read ({error}); export the bundle again"
            ) from error
        missing = [
            key for key in _REQUIRED if not isinstance(manifest, dict) or key not in manifest
        ]
        if missing:
            raise BundleError(
                f"{folder / MANIFEST} lacks {', '.join(missing)}; export the bundle again"
            )
        if manifest["schema_version"] != SCHEMA_VERSION:
            raise BundleError(
                f"{folder} has bundle schema {manifest['schema_version']}, this dualtower reads "
                f"{SCHEMA_VERSION}; export it again, or install the dualtower that made it"
            )
        return cls(folder.resolve(), manifest)

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits that name the embedding space."""
        return str(self.manifest["fingerprint"])

    @property
    def version(self) -> int:
        """The integer version that all three models of the pair share."""
        return int(self.manifest["version"])

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return int(self.manifest["space"]["dim"])

    @property
    def serving_path(self) -> Path:
        return self.path / "serving"

    @property
    def edge_path(self) -> Path:
        return self.path / "edge"

    @property
    def catalogue_path(self) -> Path:
        """Parquet with item_id, text, category, blocked, and vector [dim] float32."""
        return self.path / "index" / "catalogue.parquet"

    def model_path(self, model: str) -> Path:
        """Base path of one of MODELS, as TensorFlow Serving wants it (version folders below)."""
        if model not in MODELS:
            raise BundleError(f"no model {model!r} in a bundle; there are {', '.join(MODELS)}")
        return self.serving_path / model

    def models_config(self) -> str:
        """The text of `models.config` with the absolute paths of this place."""
        text = (self.serving_path / "models.config").read_text(encoding="utf-8")
        return text.replace(f'"{CONTAINER_ROOT}/', f'"{self.serving_path}/')


def fingerprint_of(space: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON (sorted keys, no spaces, UTF-8) of an embedding space."""
    text = json.dumps(space, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """`{relative path: {sha256, size_bytes}}` of every file below `folder` but the manifest."""
    return {
        name: {"sha256": sha256_of(path), "size_bytes": path.stat().st_size}
        for name, path in sorted(_walk(folder))
    }


def write_manifest(folder: Path, fields: Mapping[str, Any]) -> None:
    """Writes the manifest of a bundle that is being built: fields, file hashes, fingerprint.

    Args:
        folder: the temporary folder of the bundle, complete but for the manifest.
        fields: `version`, `space` and whatever else describes the bundle.
    """
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "fingerprint": fingerprint_of(fields["space"]),
        **fields,
        "files": describe_files(folder),
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False, sort_keys=True)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def verify(path: str | os.PathLike[str]) -> list[Problem]:
    """Recomputes the fingerprint and the hash of every file; empty when all agree.

    Raises:
        BundleError: the manifest itself cannot be read.
    """
    bundle = Bundle.open(path)
    problems = []
    fingerprint = fingerprint_of(bundle.manifest["space"])
    if fingerprint != bundle.fingerprint:
        problems.append(
            Problem(MANIFEST, f"fingerprint is {bundle.fingerprint}, its space gives {fingerprint}")
        )
    recorded = bundle.manifest["files"]
    present = dict(_walk(bundle.path))
    for name, facts in recorded.items():
        if name not in present:
            problems.append(Problem(name, "missing"))
        elif (size := present[name].stat().st_size) != facts["size_bytes"]:
            problems.append(Problem(name, f"{size} bytes, recorded {facts['size_bytes']}"))
        elif sha256_of(present[name]) != facts["sha256"]:
            problems.append(Problem(name, "content differs from its recorded sha256"))
    problems += [Problem(name, "not in the manifest") for name in present if name not in recorded]
    for model in MODELS:
        if not (bundle.model_path(model) / str(bundle.version) / "saved_model.pb").is_file():
            problems.append(Problem(f"serving/{model}", f"has no version {bundle.version}"))
    return problems


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            relative = path.relative_to(folder).as_posix()
            if relative != MANIFEST:
                yield relative, path
