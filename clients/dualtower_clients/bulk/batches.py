"""Cuts the rows of the input into requests. Shards begin at fixed places of the input.

records ─► judge ─► seen ids ─► Batch, Batch, ...    of one shard each, bad rows beside the good
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from dualtower_clients.bulk.records import Bad, Record, Row
from dualtower_clients.bulk.rows import Judge, Unfit, shown_id
from dualtower_clients.bulk.seen_ids import SeenIds

__all__ = ["Batch", "BatchSize", "cut"]

_DUPLICATE = "the id came before"
_CHUNK_ROWS = 512  # that the index of ids is asked about at a time
_MOST_BYTES = 1 << 20  # of the texts of a request
_ANSWERS_BEFORE_MORE = 32
_MOST_BAD = 4096  # that are kept in memory for one request


class _Origin(NamedTuple):
    """Where a row comes from."""

    file: str
    line: int


class BatchSize:
    """How many rows a request takes: what is asked for, or what the server can do with.

    Args:
        most: rows of a request.

    Attributes:
        rows: of the next request.
    """

    def __init__(self, most: int) -> None:
        self._most = self.rows = most
        self._answers = 0

    def refused(self, rows: int) -> None:
        """The server takes no request of so many rows; it will not later either."""
        self._most = max(1, min(self._most, rows // 2))
        self.rows = min(self.rows, self._most)

    def was_slow(self, rows: int) -> None:
        """A request of so many rows was not answered in time."""
        self.rows = max(1, min(self.rows, rows // 2))
        self._answers = 0

    def answered(self) -> None:
        """A request was answered in time; after a good many of them larger ones are tried."""
        self._answers += 1
        if self._answers >= _ANSWERS_BEFORE_MORE:
            self.rows = min(self._most, self.rows * 2)
            self._answers = 0


@dataclass
class Batch:
    """The rows of one request.

    Attributes:
        shard: that they belong to.
        first, after: the places in the input that it covers, from `first` to before `after`.
        rows: to be embedded.
        bad: put aside.
        ends_shard: whether the shard is complete with it.
    """

    shard: int
    first: int
    after: int
    rows: list[Row] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    size_bytes: int = 0
    ends_shard: bool = False

    def add(self, found: Row | Bad) -> None:
        self.after += 1
        if isinstance(found, Bad):
            self.bad.append(found)
        else:
            self.rows.append(found)
            self.size_bytes += found.size_bytes

    def is_full(self, rows: int) -> bool:
        return (
            len(self.rows) >= rows
            or self.size_bytes >= _MOST_BYTES
            or len(self.bad) >= _MOST_BAD
        )  # fmt: skip


def cut(
    records: Iterable[tuple[str, Record]],
    judge: Judge,
    seen: SeenIds | None,
    *,
    shard_rows: int,
    size: BatchSize,
    first: int = 0,
) -> Generator[Batch, None, None]:
    """The batches of the records, of which the first one has the place `first`.

    An input without rows has one shard, which is empty. The index of ids is committed before the
    batch that ends a shard is given out.
    """
    batch = Batch(first // shard_rows, first, first)
    is_open = first == 0  # whether there is a shard that has not ended
    for found in _judged(records, judge, seen, first):
        batch.add(found)
        batch.ends_shard = batch.after % shard_rows == 0
        is_open = not batch.ends_shard
        if batch.ends_shard or batch.is_full(size.rows):
            yield _given_out(batch, seen)
            batch = Batch(batch.after // shard_rows, batch.after, batch.after)
    if is_open:
        batch.ends_shard = True
        yield _given_out(batch, seen)


def _given_out(batch: Batch, seen: SeenIds | None) -> Batch:
    if seen is not None and batch.ends_shard:
        seen.commit()
    return batch


def _judged(
    records: Iterable[tuple[str, Record]], judge: Judge, seen: SeenIds | None, place: int
) -> Iterator[Row | Bad]:
    # a record is let go of before the next one is read: it may be large, and bad for that
    judged = (
        (_Origin(file, record.line), _row_or_bad(judge, file, record)) for file, record in records
    )
    while chunk := list(islice(judged, _CHUNK_ROWS)):
        repeated = set() if seen is None else _repeated(seen, chunk, place)
        for at, (origin, found) in enumerate(chunk, place):
            yield Bad(*origin, found.item_id, _DUPLICATE) if at in repeated else found
        place += len(chunk)


def _row_or_bad(judge: Judge, file: str, record: Record) -> Row | Bad:
    try:
        return judge.row(record)
    except Unfit as unfit:
        return Bad(file, record.line, shown_id(record), str(unfit))


def _repeated(seen: SeenIds, chunk: list[tuple[_Origin, Row | Bad]], place: int) -> set[int]:
    """The places of the rows whose id came before."""
    rows = enumerate((found for _, found in chunk), place)
    return seen.add([(found.item_id, at) for at, found in rows if isinstance(found, Row)])
