"""Copies in a trace: a few events whose sums a pencil knows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dualtower.bundle import Bundle
from dualtower_benchmarks.devices.transfer_worker import share_by_place
from dualtower_benchmarks.devices.transfers import Activity, transfers_of
from dualtower_benchmarks.drivers.driver import NotHere

KERNEL = "ampere_sgemm_32x128"
BY_HAND = [
    Activity("MemcpyH2D", 0, 10, "kind_src:pageable kind_dst:device size:4096 dest:0"),
    Activity(KERNEL, 10, 40),
    Activity("MemcpyD2H", 45, 15, "size:512 dest:0"),  # on another stream, 5 under the kernel
    Activity("MemcpyD2D", 60, 20),  # stays on the card
]


def test_copies_and_kernels_by_hand() -> None:
    found = transfers_of(BY_HAND)
    assert (found.to_device_us, found.to_host_us) == (10, 15)
    assert found.compute_us == 60
    assert found.busy_us == 80
    assert found.exposed_us == 20
    assert (found.to_device_bytes, found.to_host_bytes) == (4096, 512)
    shares = found.as_json(calls_us=100)
    assert shares["copies_share"] == pytest.approx(0.25)
    assert shares["copies_exposed_share"] == pytest.approx(0.20)
    assert shares["compute_share"] == pytest.approx(0.60)
    assert shares["idle_share"] == pytest.approx(0.20)


def test_copies_that_overlap_count_once() -> None:
    found = transfers_of([Activity("MemcpyHtoD", 0, 10), Activity("MemcpyHtoD", 5, 10)])
    assert found.to_device_us == 15
    assert found.to_device_bytes is None  # the events do not tell


def test_a_trace_without_a_card_is_no_gpu_here() -> None:
    with pytest.raises(NotHere, match="no GPU here"):
        transfers_of([])


def test_by_inputs_on_the_host_and_on_the_card() -> None:
    now_ns = 0

    def taking(ns: int) -> Any:
        def call() -> None:
            nonlocal now_ns
            now_ns += ns

        return call

    assert share_by_place(taking(100), taking(80), 5, clock=lambda: now_ns) == pytest.approx(0.2)
    assert share_by_place(taking(80), taking(100), 5, clock=lambda: now_ns) is None


# TensorFlow brings the messages, and stays out of the process that tests
XSPACE = """
import dataclasses, json, pathlib, sys
from tensorflow.tsl.profiler.protobuf import xplane_pb2
from dualtower.errors import UsageError
from dualtower_benchmarks.devices.transfers import read_trace, transfers_of

def line(plane, name, timestamp_ns, *events):
    row = plane.lines.add(name=name, timestamp_ns=timestamp_ns)
    for number, offset_us, length_us, size in events:
        event = row.events.add(
            metadata_id=number, offset_ps=offset_us * 10**6, duration_ps=length_us * 10**6
        )
        if size:
            event.stats.add(metadata_id=1, str_value=f"kind_src:pageable size:{size} dest:0")

space = xplane_pb2.XSpace()
for name in ("/host:CPU", "/device:GPU:0"):
    plane = space.planes.add(name=name)
    for number, what in enumerate(("MemcpyH2D", "gemm", "MemcpyD2H"), start=1):
        plane.event_metadata[number].name = what
    plane.stat_metadata[1].name = "memcpy_details"
    line(plane, "Stream #13(Compute)", 5_000, (1, 0, 10, 4096), (2, 10, 40, 0))
    line(plane, "Stream #14(MemcpyD2H)", 50_000, (3, 0, 15, 512))  # at 50 us; 5 under the kernel
    line(plane, "TensorFlow Ops", 5_000, (2, 0, 500, 0))
folder = pathlib.Path(sys.argv[1], "plugins", "profile", "now")
folder.mkdir(parents=True)
(folder / "vm.xplane.pb").write_bytes(space.SerializeToString())
found = [dataclasses.asdict(transfers_of(read_trace(folder.parent)))]
(folder / "vm.xplane.pb").write_bytes(b"\\xff" * 9)
for place in (folder, folder / "nothing"):
    try:
        read_trace(place)
    except UsageError as error:
        found.append(str(error))
print(json.dumps(found))
"""


@pytest.mark.slow
def test_a_trace_as_tensorflow_writes_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", XSPACE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found, broken, missing = json.loads(done.stdout.splitlines()[-1])
    assert found == {
        "to_device_us": pytest.approx(10),
        "to_host_us": pytest.approx(15),
        "compute_us": pytest.approx(40),
        "busy_us": pytest.approx(60),
        "exposed_us": pytest.approx(20),
        "to_device_bytes": 4096,
        "to_host_bytes": 512,
    }
    assert "is no trace" in broken
    assert "holds no *.xplane.pb" in missing


@pytest.mark.slow
def test_the_worker_says_no_gpu_here(small_bundle: Bundle) -> None:
    command = [sys.executable, "-m", "dualtower_benchmarks.devices.transfer_worker"]
    done = subprocess.run(
        [*command, str(small_bundle.path), "4", "3"],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert json.loads(done.stdout) == {"absent": "no GPU here"}, done.stderr
