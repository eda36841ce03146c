"""`BulkEmbedder`: a run from its files to its folder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from dualtower.errors import UsageError
from dualtower_clients.bulk._arrow import parquet
from dualtower_clients.bulk.asking import Asking
from dualtower_clients.bulk.batches import Batch, BatchSize, cut
from dualtower_clients.bulk.flow import Watcher, flow
from dualtower_clients.bulk.folder import Done, RunFolder
from dualtower_clients.bulk.inputs import InputFile, find
from dualtower_clients.bulk.marks import Mark, Marks
from dualtower_clients.bulk.options import BulkOptions
from dualtower_clients.bulk.reading import known_rows, read
from dualtower_clients.bulk.records import Record
from dualtower_clients.bulk.replicas import Replicas
from dualtower_clients.bulk.report import BulkReport
from dualtower_clients.bulk.rows import Judge
from dualtower_clients.bulk.seen_ids import SeenIds
from dualtower_clients.bulk.space import Space
from dualtower_clients.bulk.writing import Writing
from dualtower_clients.settings import (
    DEFAULT_POLICY,
    DEFAULT_SETTINGS,
    CallPolicy,
    ChannelSettings,
)

__all__ = ["BulkEmbedder", "embed_file"]


class BulkEmbedder:
    """Embeds files by a server, or by several that serve the same bundle.

    Memory does not grow with the input: rows are read as requests leave, at most twice as many
    batches as requests may be under way are held, and vectors go to the disk in groups of 8 MiB.

    A run that was killed, in whatever way, is gone on with by the same call: complete shards stay,
    and no row is lost or comes twice. What cannot be embedded is put aside, with the reason.

    Args:
        address: "HOST:PORT", "unix:PATH" or a target of gRPC that has one server; or a list of
            them. Each of several is asked for its fingerprint; requests go to those that answer,
            and one that is lost costs no row.
        options: what is embedded, and how.
        settings: TLS, token, metadata, compression, keep-alive.
        policy: retries and hedges of each request; behind them a run has its own patience.

    Example:
        embedder = BulkEmbedder("localhost:8500", options=BulkOptions(text_column="title"))
        report = embedder.run(["items-*.parquet"], "vectors")
        report.rows, report.quarantined, report.fingerprint
    """

    def __init__(
        self,
        address: str | Sequence[str],
        *,
        options: BulkOptions | None = None,
        settings: ChannelSettings = DEFAULT_SETTINGS,
        policy: CallPolicy = DEFAULT_POLICY,
    ) -> None:
        self.address = address
        self.options = options or BulkOptions()
        self._settings = settings
        self._policy = policy

    def run(
        self,
        inputs: Sequence[str | Path],
        out: str | Path,
        *,
        restart: bool = False,
        watcher: Watcher | None = None,
    ) -> BulkReport:
        """Embeds all rows of the inputs, in their order, into shards in the folder `out`.

        Args:
            inputs: paths and patterns of .parquet, .jsonl and .csv files, the latter two also .gz.
            out: made where it is missing; a run that it holds is gone on with.
            restart: removes that run first.
            watcher: is told how far it is.

        Raises:
            UsageError: `out` holds another run, or something else, or another process writes it.
            DataError: an input cannot be read, or lacks a column.
            UnavailableError: pyarrow is not installed, or the disk is full.
            BundleMismatch: the server's models do not belong together, or to the caller, or have
                changed to another bundle. What is complete stays.
            ClientError: the server refuses, or was not to be had for too long.
        """
        return asyncio.run(self.run_async(inputs, out, restart=restart, watcher=watcher))

    async def run_async(
        self,
        inputs: Sequence[str | Path],
        out: str | Path,
        *,
        restart: bool = False,
        watcher: Watcher | None = None,
    ) -> BulkReport:
        """As `run`, in a loop that runs already; reading takes a few milliseconds of it at a time.

        A task that is cancelled leaves what is complete.
        """
        parquet()  # is there, before anything is made
        begin_ns = time.monotonic_ns()
        files, out, watcher = find(inputs), Path(out), watcher or Watcher()
        replicas = Replicas(
            self.address,
            timeout_s=self.options.timeout_s,
            settings=self._settings,
            policy=self._policy,
        )
        async with replicas:
            space = Space(replicas.each, self.options)
            replicas.watch_connections(space.forget)
            await space.connect()
            run = self._identity(files, space)
            folder = RunFolder(out)
            with folder.held():
                done = folder.begin(run, restart=restart)
                resumed_rows = done[-1]["input_rows"][1] if done else 0
                totals = folder.totals()
                written: list[Done] = []
                if totals is None:
                    watcher.begins(known_rows(files), resumed_rows)
                    size = BatchSize(self.options.batch_rows)
                    asking = Asking(replicas.together, space, self.options, size)
                    marks = Marks(self.options.shard_rows)
                    writing = self._writing(folder, space, marks)
                    begin = Mark.of(done[-1]) if done else None
                    records = read(files, self.options, skip=resumed_rows, begin=begin, marks=marks)
                    with self._batches(records, folder, size, resumed_rows) as batches:
                        written = await _embedded(batches, asking, writing, watcher)
                    _check_unchanged(files)
                    totals = folder.finish([*done, *written], run)
        elapsed_s = (time.monotonic_ns() - begin_ns) / 1e9
        return _report(out, totals, written, resumed_rows, elapsed_s)

    def _identity(self, files: Sequence[InputFile], space: Space) -> dict[str, Any]:
        return {
            "fingerprint": space.fingerprint,
            "dim": space.dim,
            "inputs": [file.identity() for file in files],
            "options": self.options.of_output(),
        }

    def _writing(self, folder: RunFolder, space: Space, marks: Marks) -> Writing:
        return Writing(
            folder,
            id_column=self.options.id_column,
            dim=space.dim,
            shard_rows=self.options.shard_rows,
            facts={"model": self.options.model, "fingerprint": space.fingerprint},
            marks=marks,
        )

    @contextmanager
    def _batches(
        self,
        records: Iterator[tuple[str, Record]],
        folder: RunFolder,
        size: BatchSize,
        first: int,
    ) -> Iterator[Iterator[Batch]]:
        options = self.options
        judge = Judge(
            id_column=options.id_column,
            content_column=options.content_column,
            is_of_users=options.is_of_users,
            max_text_bytes=options.max_text_bytes,
        )
        with (
            _seen_ids(folder, options, first) as seen,
            closing(
                cut(records, judge, seen, shard_rows=options.shard_rows, size=size, first=first)
            ) as batches,
        ):
            yield batches


async def _embedded(
    batches: Iterator[Batch], asking: Asking, writing: Writing, watcher: Watcher
) -> list[Done]:
    try:
        await flow(batches, asking, writing, watcher)
    except BaseException:
        writing.discard()
        raise
    return writing.done


@contextmanager
def _seen_ids(folder: RunFolder, options: BulkOptions, first: int) -> Iterator[SeenIds | None]:
    if options.duplicates == "keep":
        yield None
        return
    if first and not folder.seen_path.exists():
        raise UsageError(
            f"{folder.seen_path} is missing, which knows the ids of the shards that are complete; "
            "begin anew with --restart"
        )
    with closing(SeenIds(folder.seen_path)) as seen:
        yield seen


def _check_unchanged(files: Sequence[InputFile]) -> None:
    now = find([file.path for file in files])
    for before, after in zip(files, now, strict=True):
        if before != after:
            raise UsageError(
                f"{before.path} was changed while it was read, so that the shards are of two "
                "inputs; begin anew with --restart"
            )


def _report(
    out: Path,
    totals: Mapping[str, Any],
    written: Sequence[Done],
    resumed_rows: int,
    elapsed_s: float,
) -> BulkReport:
    return BulkReport(
        out=out,
        model=totals["options"]["model"],
        fingerprint=totals["fingerprint"],
        dim=totals["dim"],
        versions=tuple(totals["versions"]),
        rows=totals["rows"],
        quarantined=totals["quarantined"],
        shards=len(totals["shards"]),
        resumed_rows=resumed_rows,
        elapsed_s=elapsed_s,
        rows_per_s=sum(one["rows"] for one in written) / elapsed_s,
    )


def embed_file(
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    address: str | Sequence[str],
    options: BulkOptions | None = None,
    settings: ChannelSettings = DEFAULT_SETTINGS,
    policy: CallPolicy = DEFAULT_POLICY,
    restart: bool = False,
    watcher: Watcher | None = None,
) -> BulkReport:
    """`BulkEmbedder.run` in one call.

    Example:
        embed_file("items.parquet", "vectors", address="localhost:8500").rows_per_s
    """
    paths = [inputs] if isinstance(inputs, (str, Path)) else inputs
    embedder = BulkEmbedder(address, options=options, settings=settings, policy=policy)
    return embedder.run(paths, out, restart=restart, watcher=watcher)
