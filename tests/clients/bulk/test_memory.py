"""Memory does not grow with the input, whatever the size of its row groups."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from bulk_runs import write_parquet

SERVER = Path(__file__).with_name("fast_server.py")
DIM = 256
ALLOWED_KIB = 48 * 1024  # the index of ids may cache 16 MiB, and allocators keep some

RUN = """
import sys
from pathlib import Path
from dualtower_clients.bulk import BulkOptions, embed_file

options = BulkOptions(max_in_flight=8)
report = embed_file(sys.argv[2], sys.argv[3], address=sys.argv[1], options=options)
status = Path("/proc/self/status").read_text()  # getrusage counts what was there before exec too
print(report.rows, status.split("VmHWM:")[1].split()[0])
"""


@pytest.fixture
def address():
    command = [sys.executable, SERVER, str(DIM)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield f"127.0.0.1:{process.stdout.readline().strip()}"
        process.stdin.close()


def peak_kib(address, rows, folder):
    """Of a process that embeds so many rows."""
    texts = [(f"item-{n:07d}", f"{n} salted butter, number {n * 7919 % rows}") for n in range(rows)]
    source = write_parquet(folder / f"{rows}.parquet", texts, row_group_size=rows)
    out = folder / f"out-{rows}"
    command = [sys.executable, "-c", RUN, address, source, out]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found, peak = map(int, done.stdout.split())
    assert found == rows == pq.read_table(out, columns=["item_id"]).num_rows
    return peak


@pytest.mark.slow
def test_ten_times_the_rows_take_no_more_memory(address, tmp_path):
    few = peak_kib(address, 30_000, tmp_path)
    many = peak_kib(address, 300_000, tmp_path)  # 300 MiB of vectors
    assert many - few < ALLOWED_KIB
