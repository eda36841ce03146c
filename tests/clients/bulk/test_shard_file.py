"""A shard is there whole, or not at all."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from dualtower_clients.bulk.shard_file import ShardFile, partial_of


def test_what_is_added_comes_out_in_order_and_to_the_bit(tmp_path):
    path, draw = tmp_path / "part.parquet", np.random.default_rng(3)
    values = draw.normal(size=(5000, 768)).astype(np.float32)  # more than one row group
    values[7] = [np.float32(1e-45), np.float32(-0.0)] * 384
    shard = ShardFile(path, "id", 768, {"a": "b"})
    for at in range(0, 5000, 999):
        some = values[at : at + 999]
        shard.add([f"ü{n}" for n in range(at, at + len(some))], some)
        assert not path.exists()
    facts = shard.publish()
    table = pq.read_table(path)
    assert table["id"].to_pylist() == [f"ü{n}" for n in range(5000)]
    found = table["embedding"].combine_chunks().flatten().to_numpy().reshape(5000, 768)
    assert found.tobytes() == values.tobytes()
    assert table.schema.metadata[b"a"] == b"b"
    assert pq.ParquetFile(path).num_row_groups > 1
    raw = path.read_bytes()
    assert facts == {"rows": 5000, "bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    assert [one.name for one in tmp_path.iterdir()] == ["part.parquet"]


@pytest.mark.parametrize("rows", [0, 10, 5000])
def test_a_shard_that_is_discarded_leaves_nothing(rows, tmp_path):
    shard = ShardFile(tmp_path / "part.parquet", "id", 512, {})
    assert partial_of(tmp_path / "part.parquet").exists()
    shard.add(["a"] * rows, np.zeros((rows, 512), np.float32))
    shard.discard()
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_file_of_that_name_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "part.parquet"
    path.write_text("earlier")
    shard = ShardFile(path, "id", 2, {})
    shard.add(["a"], np.zeros((1, 2), np.float32))
    assert path.read_text() == "earlier"
    shard.publish()
    assert pq.read_table(path).num_rows == 1


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from dualtower.errors import UnavailableError
from dualtower_clients.bulk.shard_file import ShardFile

resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))  # as a disk with one MiB left
shard = ShardFile(Path(sys.argv[1]) / "part.parquet", "id", 512, {})
try:
    for _ in range(100):
        shard.add(["a"] * 100, np.ones((100, 512), np.float32))
    shard.publish()
except UnavailableError as error:
    print(error)
shard.discard()
"""


def test_a_full_disk_is_a_named_error_and_leaves_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "no space left" in done.stdout
    assert f"{tmp_path / 'part.parquet'}" in done.stdout
    assert list(tmp_path.iterdir()) == []
