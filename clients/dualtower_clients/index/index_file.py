"""A file that holds an index: written whole or not at all, read with numpy alone.

a ZIP archive without compression, so that every part carries a checksum
  index.json            format, fingerprint, dim, and how the engine was built
  item_ids.json  categories.json  vectors.npy
  engine.bin  keys.npy  what usearch or faiss built over the vectors, if one of them did
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualtower.errors import BundleError, UsageError
from dualtower.files import atomic_file
from dualtower_clients.index.checks import read_items, read_vectors
from dualtower_clients.index.items import Items

__all__ = ["BuiltEngine", "IndexFile", "Saved", "write_index_file"]

_FORMAT = 1
_FACTS = "index.json"


@dataclass(frozen=True)
class BuiltEngine:
    """The bytes of an engine, so that opening need not build it again.

    Attributes:
        recipe: backend and settings it was built with.
        keys: int64 [n], the engine's number of each item.
        content: its own form.
    """

    recipe: str
    keys: NDArray[np.int64]
    content: bytes


@dataclass(frozen=True)
class Saved:
    """What a store holds."""

    items: Items
    engine: BuiltEngine | None = None


def write_index_file(path: Path, saved: Saved, *, fingerprint: str) -> None:
    """Replaces `path`.

    Raises:
        UsageError: it cannot be written there.
        UnavailableError: no space is left.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the name of a file")
    items, engine = saved.items, saved.engine
    facts = {
        "format": _FORMAT,
        "fingerprint": fingerprint,
        "dim": items.vectors.shape[1],
        "recipe": engine.recipe if engine else "",
    }
    with atomic_file(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as out:
        _put(out, _FACTS, _as_json(facts))
        _put(out, "item_ids.json", _as_json(items.item_ids.tolist()))
        _put(out, "categories.json", _as_json(items.categories.tolist()))
        _put_array(out, "vectors.npy", items.vectors)
        if engine:
            _put_array(out, "keys.npy", engine.keys)
            _put(out, "engine.bin", engine.content)


@dataclass(frozen=True)
class IndexFile:
    """An index file, of which the facts have been read."""

    path: Path
    fingerprint: str
    dim: int
    recipe: str

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> IndexFile:
        """Reads what the file says of itself.

        Raises:
            BundleError: it is no index file, or one of another format.
        """
        place = Path(path)
        with _reading(place) as archive:
            facts = json.loads(archive.read(_FACTS))
            if facts["format"] != _FORMAT:
                raise BundleError(
                    f"{place} has index format {facts['format']}, this dualtower reads {_FORMAT}; "
                    "save it again with the dualtower that made it, or open the bundle"
                )
            return cls(place, str(facts["fingerprint"]), int(facts["dim"]), str(facts["recipe"]))

    def read(self, *, recipe: str = "") -> Saved:
        """Its items, and its engine if that was built by `recipe`.

        Raises:
            BundleError: the file was damaged.
        """
        with _reading(self.path) as archive:
            vectors = _array(archive, "vectors.npy")
            items = read_items(
                json.loads(archive.read("item_ids.json")),
                read_vectors(vectors, dim=self.dim, fingerprint=self.fingerprint),
                json.loads(archive.read("categories.json")),
            )
            if not recipe or recipe != self.recipe:
                return Saved(items)
            keys = _array(archive, "keys.npy")
            return Saved(items, BuiltEngine(recipe, keys, archive.read("engine.bin")))


class _reading:
    """Opens an archive, and turns what a broken one raises into an error that says what to do."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> zipfile.ZipFile:
        try:
            self._archive = zipfile.ZipFile(self._path)
        except (OSError, zipfile.BadZipFile) as error:
            raise self._broken(error) from error
        return self._archive

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._archive.close()
        broken = (OSError, KeyError, ValueError, TypeError, EOFError, UsageError)
        if isinstance(error, (*broken, zipfile.BadZipFile, zlib.error)):
            raise self._broken(error) from error

    def _broken(self, error: BaseException) -> BundleError:
        return BundleError(
            f"{self._path} is no bundle and no whole index file ({error}); give a bundle that "
            "`dualtower export` made, or a file that ItemIndex.save wrote"
        )


def _put(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name), content)  # of no date: equal indexes are equal files


def _put_array(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as stream:
        np.lib.format.write_array(stream, array, allow_pickle=False)


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(name) as stream:
        array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
        stream.read()  # to its end, where the checksum is compared
    return array


def _as_json(value: dict[str, Any] | Sequence[str]) -> bytes:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode()
