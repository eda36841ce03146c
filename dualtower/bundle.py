"""The bundle: both towers and everything that must agree with them, in one immutable folder.

    BUNDLE/
      serving/user_tower/N  item_tower/N  recommender/N   SavedModels, N the same integer
      serving/models.config  labels.config  batching.config   base paths under /models, see below
      edge/*.tflite  vocab.txt                            files for a phone
      index/catalogue.parquet                             item ids, texts, vectors
      bundle.json  model_card.md

The *space* is the part of the manifest that defines the embedding space: hashes of weights and
vocabulary, text template, dimension, normalisation, signatures. The fingerprint is its hash, so two
exports of one checkpoint agree and any change to what a vector means does not.

The manifest names every other file with its hash, and `manifest_sha256` in it is the hash of the
manifest without that entry, so that no byte of a bundle goes unwatched.

`models.config` names base paths under `/models`, where the official container mounts them; a bundle
can therefore be moved. `Bundle.models_config` renders it for the place where the bundle lies now.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtower.bundle_files import describe_files, drop_empty_folders, sha256_of
from dualtower.errors import BundleError

__all__ = [
    "CONTAINER_ROOT",
    "MANIFEST",
    "MODELS",
    "SCHEMA_VERSION",
    "Bundle",
    "fingerprint_of",
    "manifest_fault",
    "sha256_of",
    "write_manifest",
]

SCHEMA_VERSION = 1
MANIFEST = "bundle.json"
MODELS = ("user_tower", "item_tower", "recommender")
CONTAINER_ROOT = "/models"
_REQUIRED = ("schema_version", "fingerprint", "version", "space", "files")
_OWN_HASH = "manifest_sha256"


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
        if wrong := _wrong_types(manifest):
            raise BundleError(
                f"{folder / MANIFEST} has a {wrong} that is none; export the bundle again"
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


def write_manifest(folder: Path, fields: Mapping[str, Any]) -> None:
    """Writes the manifest of a bundle that is being built: fields, file hashes, fingerprint.

    Args:
        folder: the temporary folder of the bundle, complete but for the manifest.
        fields: `version`, `space` and whatever else describes the bundle.
    """
    drop_empty_folders(folder)
    manifest = {
        **{key: value for key, value in fields.items() if key != _OWN_HASH},
        "schema_version": SCHEMA_VERSION,
        "fingerprint": fingerprint_of(fields["space"]),
        "files": describe_files(folder, besides=MANIFEST),
    }
    manifest = json.loads(json.dumps(manifest))  # keys are strings from here on, also for sorting
    manifest[_OWN_HASH] = _hash_of(manifest)
    (folder / MANIFEST).write_bytes(_rendered(manifest))


def manifest_fault(bundle: Bundle) -> str:
    """What is wrong with the bytes of the manifest; "" if they are as they were written."""
    manifest = bundle.manifest
    if _OWN_HASH not in manifest:
        return f"has no {_OWN_HASH}, so that a change of it would go unseen"
    rest = {key: value for key, value in manifest.items() if key != _OWN_HASH}
    as_written = (bundle.path / MANIFEST).read_bytes() == _rendered(manifest)
    if as_written and manifest[_OWN_HASH] == _hash_of(rest):
        return ""
    return f"was changed after it was written: it differs from its {_OWN_HASH}"


def _wrong_types(manifest: Mapping[str, Any]) -> str:
    """The first entry that cannot be what it is named; "" if there is none."""
    version, files = manifest["version"], manifest["files"]
    if type(version) is not int or version < 1:
        return "version"
    if not isinstance(manifest["space"], dict):
        return "space"
    facts = list(files.values()) if isinstance(files, dict) else [None]
    if not all(isinstance(one, dict) and {"sha256", "size_bytes"} <= one.keys() for one in facts):
        return "list of files"
    return ""


def _rendered(manifest: Mapping[str, Any]) -> bytes:
    text = json.dumps(manifest, indent=2, ensure_ascii=False, sort_keys=True)
    return (text + "\n").encode()


def _hash_of(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(_rendered(manifest)).hexdigest()
