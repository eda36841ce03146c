"""Bulk embedding: files of texts, or of histories, to Parquet shards of vectors, by a model server.

    FILES                                                                   OUT/
      │ records                                                              ▲
      ▼            ┌───────┐         ┌────────┐           ┌─────────┐        │ part-00000.parquet
    reading ─────► │ judge │ ──────► │ asking │ ────────► │ writing │ ───────┤ _part-00000.done.json
    parquet_records│ seen  │ batches │  gate  │ vectors,  │  shard_ │        │ ...
    line_records   │  _ids │  (cut)  │  limit │ in order  │   file  │        │ _embed.json
                   └───┬───┘         │  space │           └─────────┘        │
                       │ bad rows    └──┬──▲──┘                              │
                       │                ▼  │                                 │
                       │             the server                              │
                       └────────────────────────── _part-00000.quarantine.jsonl

- **In order, in bounded memory.** A window of batches is under way; the earliest one is let through
  first, written first, and only then is more read.
- **As many requests as help.** `limit` tries more while rows a second rise, and halves when the
  server is busy, lost or late. Nothing is lost by that: a batch is asked for until it is answered.
- **Whole shards.** A shard holds fixed rows of the input. It is written under another name,
  fsynced and renamed; then its done-file says that it is complete. A run that died goes on there.
- **One space.** The fingerprint is asked on connecting, when an answer comes from another version
  or after a failure, and before each shard is published.

Needs the extra `bulk`. The command is `dualtower embed`.
"""

from dualtower_clients.bulk.embedder import BulkEmbedder, embed_file
from dualtower_clients.bulk.flow import Watcher
from dualtower_clients.bulk.options import BulkOptions
from dualtower_clients.bulk.report import BulkReport

__all__ = ["BulkEmbedder", "BulkOptions", "BulkReport", "Watcher", "embed_file"]
