"""Writes inputs, runs the embedding, reads what came out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dualtower_clients import Recommender
from dualtower_clients.bulk import BulkOptions, BulkReport, embed_file


def items(count: int, first: int = 0) -> list[tuple[str, str]]:
    """Ids and texts."""
    return [(f"i{n}", f"item number {n}") for n in range(first, first + count)]


def write_parquet(path: Path, rows: Sequence[tuple[Any, Any]], **settings: Any) -> Path:
    ids, texts = ([row[place] for row in rows] for place in (0, 1))
    table = pa.table({"item_id": pa.array(ids, pa.string()), "text": pa.array(texts, pa.string())})
    pq.write_table(table, path, **settings)
    return path


def write_jsonl(path: Path, rows: Sequence[tuple[Any, Any]]) -> Path:
    lines = [json.dumps({"item_id": item_id, "text": text}) + "\n" for item_id, text in rows]
    path.write_text("".join(lines))
    return path


def run(
    address: str,
    inputs: str | Path | Sequence[str | Path],
    out: Path,
    *,
    restart: bool = False,
    **options: Any,
) -> BulkReport:
    """Embeds with the options of `BulkOptions`."""
    return embed_file(inputs, out, address=address, options=BulkOptions(**options), restart=restart)


def vectors(out: Path, id_column: str = "item_id") -> tuple[list[str], NDArray[np.float32]]:
    """What the folder holds, as any reader of Parquet finds it."""
    table = pq.read_table(out).combine_chunks()
    column = table["embedding"].combine_chunks()
    dim = column.type.list_size
    return table[id_column].to_pylist(), column.flatten().to_numpy().reshape(-1, dim)


def quarantined(out: Path) -> list[dict[str, Any]]:
    """The rows that were put aside, in the input's order."""
    paths = sorted(out.glob("_part-*.quarantine.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def check_whole(out: Path) -> None:
    """Done-files, totals and shards say the same; nothing else is there."""
    totals = json.loads((out / "_embed.json").read_text())
    done = [json.loads(path.read_text()) for path in sorted(out.glob("_part-*.done.json"))]
    parts = sorted(out.glob("part-*.parquet"))
    assert [one["file"] for one in done] == [path.name for path in parts]
    at = 0
    for one, path in zip(done, parts, strict=True):
        assert one["input_rows"][0] == at
        at = one["input_rows"][1]
        assert one["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert one["bytes"] == path.stat().st_size
        assert one["rows"] == pq.ParquetFile(path).metadata.num_rows
        assert one["rows"] + sum(one["quarantined"].values()) == at - one["input_rows"][0]
    assert totals["rows"] == sum(one["rows"] for one in done)
    assert totals["input_rows"] == at
    assert sum(totals["quarantined"].values()) == len(quarantined(out))
    kept = {"_embed.json", "_run.json", "_lock", *(path.name for path in parts)}
    others = {path.name for path in out.iterdir()} - kept
    assert all(name.startswith("_part-") for name in others), others


def embedded(direct: Recommender, texts: Sequence[str]) -> NDArray[np.float32]:
    """The oracle: texts asked directly, as many at a time as the server of the tests takes."""
    parts = [direct.embed_items(texts[at : at + 32]).vectors for at in range(0, len(texts), 32)]
    return np.concatenate(parts)


def same(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> bool:
    """As close as two runs of one model in other batches are."""
    return found.shape == wanted.shape and bool(np.allclose(found, wanted, atol=1e-6))
