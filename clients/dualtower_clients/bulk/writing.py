"""Puts embedded batches, which come in order, into shards, and completes each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from dualtower_clients.bulk.asking import Vectors
from dualtower_clients.bulk.batches import Batch
from dualtower_clients.bulk.folder import Done, RunFolder
from dualtower_clients.bulk.marks import Marks
from dualtower_clients.bulk.records import Bad
from dualtower_clients.bulk.shard_file import ShardFile

__all__ = ["Writing"]


class Writing:
    """Writes the shards of a run.

    Args:
        folder: held by this process.
        id_column: the name of the column of ids.
        dim: of the vectors.
        shard_rows: rows of the input for each shard.
        facts: model and fingerprint, as each shard says them.
        marks: where the input's shards begin.

    Attributes:
        done: what the done-files of the shards written here say.
    """

    def __init__(
        self,
        folder: RunFolder,
        *,
        id_column: str,
        dim: int,
        shard_rows: int,
        facts: Mapping[str, str],
        marks: Marks,
    ) -> None:
        self._folder = folder
        self._id_column = id_column
        self._dim = dim
        self._shard_rows = shard_rows
        self._facts = facts
        self._marks = marks
        self._shard: ShardFile | None = None
        self._bad: list[Bad] = []
        self._versions: set[int] = set()
        self.done: list[Done] = []

    def add(self, batch: Batch, parts: Sequence[Vectors]) -> None:
        """Appends a batch; one that ends its shard publishes it."""
        self._bad += batch.bad
        if parts:
            self._append(batch, parts)
        if batch.ends_shard:
            self._publish(batch)
            self._shard, self._bad, self._versions = None, [], set()

    def discard(self) -> None:
        """Leaves nothing of a shard that is not complete."""
        if self._shard is not None:
            self._shard.discard()

    def _append(self, batch: Batch, parts: Sequence[Vectors]) -> None:
        shard = self._opened(batch, str(parts[0].version))
        ids = [row.item_id for row in batch.rows]
        first = 0
        for part in parts:
            after = first + len(part.values)
            shard.add(ids[first:after], part.values)
            self._versions.add(part.version)
            first = after

    def _opened(self, batch: Batch, version: str) -> ShardFile:
        if self._shard is None:
            facts = {**self._facts, "dim": str(self._dim), "version": version}
            metadata = {f"dualtower.{name}": value for name, value in facts.items()}
            path = self._folder.shard_path(batch.shard)
            self._shard = ShardFile(path, self._id_column, self._dim, metadata)
        return self._shard

    def _publish(self, batch: Batch) -> None:
        published = self._opened(batch, version="").publish()  # also one without a good row
        done = {
            "file": self._folder.shard_path(batch.shard).name,
            **published,
            "input_rows": [batch.shard * self._shard_rows, batch.after],
            "next_record": self._marks.taken(batch.after),
            "quarantined": dict(sorted(Counter(one.reason for one in self._bad).items())),
            **self._facts,
            "dim": self._dim,
            "versions": sorted(self._versions),
        }
        self._folder.finish_shard(batch.shard, done, self._bad)
        self.done.append(done)
