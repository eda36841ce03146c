"""One shard: a Parquet file that grows by row groups and appears when it is whole.

vectors as received ─► Arrow, no copy ─► row groups ─► .NAME.partial ─► fsync ─► NAME
                                             └─► SHA-256 on the way
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualtower.files import disk_errors, fsync_path
from dualtower_clients.bulk._arrow import arrow, parquet

__all__ = ["ShardFile", "partial_of"]

_GROUP_BYTES = 8 << 20  # of vectors in a row group, and so in memory


def partial_of(path: Path) -> Path:
    """The name under which a file is written; readers of Parquet folders leave it out."""
    return path.with_name(f".{path.name}.partial")


class ShardFile:
    """Writes item_id string, embedding fixed_size_list<float32>[dim].

    Args:
        path: of the shard; nothing is there until `publish`.
        id_column: the name of the first column.
        dim: of the vectors.
        metadata: of the schema.

    Attributes:
        rows: so far.
    """

    def __init__(self, path: Path, id_column: str, dim: int, metadata: Mapping[str, str]) -> None:
        pa = arrow()
        self._path = path
        self._dim = dim
        self._schema = pa.schema(
            [(id_column, pa.string()), ("embedding", pa.list_(pa.float32(), dim))],
            metadata=dict(metadata),
        )
        self._group: list[Any] = []
        self._group_rows = 0
        self.rows = 0
        with disk_errors(path):
            self._sink = _Sink(partial_of(path))
            self._writer = parquet().ParquetWriter(
                self._sink,
                self._schema,
                use_dictionary=False,  # ids differ, and so do floats
                compression={id_column: "zstd", "embedding.list.element": "none"},
                write_statistics=[id_column],
            )

    def add(self, ids: Sequence[str], values: NDArray[np.float32]) -> None:
        """Appends rows; `values` is [rows, dim] float32 in C order."""
        pa = arrow()
        flat = pa.array(values.reshape(-1))  # a view
        columns = [pa.array(ids, pa.string()), pa.FixedSizeListArray.from_arrays(flat, self._dim)]
        self._group.append(pa.record_batch(columns, schema=self._schema))
        self._group_rows += len(ids)
        if self._group_rows * self._dim * 4 >= _GROUP_BYTES:
            self._write_group()

    def publish(self) -> dict[str, Any]:
        """Puts the file under its name; returns its rows, bytes and SHA-256."""
        self._write_group()
        with disk_errors(self._path):
            self._writer.close()
            self._sink.end()
            fsync_path(partial_of(self._path))
            os.replace(partial_of(self._path), self._path)
            fsync_path(self._path.parent)
        return {"rows": self.rows, "bytes": self._sink.tell(), "sha256": self._sink.sha256}

    def discard(self) -> None:
        """Leaves nothing behind."""
        with suppress(OSError, arrow().ArrowException):
            self._writer.close()  # or it would try when it is collected
        with suppress(OSError):
            self._sink.end()
        partial_of(self._path).unlink(missing_ok=True)

    def _write_group(self) -> None:
        if not self._group:
            return
        with disk_errors(self._path):
            table = arrow().Table.from_batches(self._group, self._schema)
            self._writer.write_table(table, row_group_size=self._group_rows)
        self.rows += self._group_rows
        self._group, self._group_rows = [], 0


class _Sink:
    """A file for Arrow to write into, hashed on the way."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("wb")
        self._hash = hashlib.sha256()
        self._size_bytes = 0

    @property
    def closed(self) -> bool:
        return self._stream.closed

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, data: bytes) -> int:
        self._stream.write(data)
        self._hash.update(data)
        self._size_bytes += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size_bytes

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        """Of Arrow, which closes what it writes into also when it failed; see `end`."""

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def end(self) -> None:
        self._stream.close()
