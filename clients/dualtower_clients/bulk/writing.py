"""Puts embedded batches, which come in order, into shards, and completes each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from dualtower_clients.bulk.asking import Vectors
from dualtower_clients.bulk.batches import Batch
from dualtower_clients.bulk.folder import Done, RunFolder
from dualtower_clients.bulk.records import Bad
from dualtower_clients.bulk.shard_file import ShardFile

__all__ = ["Writing"]


class Writing:
    """Writes the shards of a run.

    Args:
        folder: held by this process.
        id_column: the name of the column of ids.
        dim: of the vectors.
        facts: model and fingerprint, as each shard says them.

    Attributes:
        done: what the done-files of the shards written here say.
    """

    def __init__(
        self, folder: RunFolder, *, id_column: str, dim: int, facts: Mapping[str, str]
    ) -> None:
        self._folder = folder
        self._id_column = id_column
        self._dim = dim
        self._facts = facts
        self._shard: ShardFile | None = None
        self._first = 0  # of the input's rows in that shard
        self._bad: list[Bad] = []
        self._versions: set[int] = set()
        self.done: list[Done] = []

    def add(self, batch: Batch, parts: Sequence[Vectors]) -> None:
        """Appends a batch; one that ends its shard publishes it."""
        if self._shard is None:
            self._shard, self._first = self._opened(batch, parts), batch.first
        first = 0
        for part in parts:
            after = first + len(part.values)
            self._shard.add([row.item_id for row in batch.rows[first:after]], part.values)
            self._versions.add(part.version)
            first = after
        self._bad += batch.bad
        if batch.ends_shard:
            self._publish(batch, self._shard)
            self._shard, self._bad, self._versions = None, [], set()

    def discard(self) -> None:
        """Leaves nothing of a shard that is not complete."""
        if self._shard is not None:
            self._shard.discard()

    def _opened(self, batch: Batch, parts: Sequence[Vectors]) -> ShardFile:
        metadata = {**self._facts, "dim": str(self._dim)}
        if parts:
            metadata["version"] = str(parts[0].version)
        named = {f"dualtower.{name}": value for name, value in metadata.items()}
        path = self._folder.shard_path(batch.shard)
        return ShardFile(path, self._id_column, self._dim, named)

    def _publish(self, batch: Batch, shard: ShardFile) -> None:
        facts = shard.publish()
        done = {
            "file": self._folder.shard_path(batch.shard).name,
            **facts,
            "input_rows": [self._first, batch.after],
            "quarantined": dict(sorted(Counter(one.reason for one in self._bad).items())),
            **self._facts,
            "dim": self._dim,
            "versions": sorted(self._versions),
        }
        self._folder.finish_shard(batch.shard, done, self._bad)
        self.done.append(done)
