"""Rows of loads on scripted cards: energy known to the joule, and what can go wrong with one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualtower_benchmarks.devices.fields import COUNTER, TRAPEZOID, Found
from dualtower_benchmarks.devices.here import Devices
from dualtower_benchmarks.devices.scripted_nvml import ScriptedCard, ScriptedClock, ScriptedNvml
from dualtower_benchmarks.devices.series import Window
from dualtower_benchmarks.devices.watched import with_found

SECOND = 1_000_000_000
WINDOW = Window(2 * SECOND, 8 * SECOND)
ROW = {"device_found": "GPU", "n": 3000, "batch_rows": 4, "rows_per_s": 2000.0, "void": None}


def measured(
    cards: list[ScriptedCard],
    *,
    served: bool = False,
    server_pid: int | None = None,
    prices: dict[str, float] | None = None,
    rapl: Path = Path("/nowhere"),
    row: dict[str, Any] = ROW,
    each_s: Callable[[float], None] = lambda _: None,
    step_s: float = 0.1,
) -> Found:
    """Ten scripted seconds, read every `step_s`; the row is about 2 s to 8 s."""
    clock = ScriptedClock()
    nvml = ScriptedNvml(cards, clock)
    devices = Devices.of_this_machine(prices, nvml=nvml, rapl_root=rapl)
    watched = devices.watched(server_pid=server_pid, generator_pid=os.getpid())
    for _ in range(round(10 / step_s) + 1):
        each_s(clock.seconds)
        for sensor in watched.sensors:
            sensor.sample(clock())
        clock.forward(step_s)
    return watched.fields(row, WINDOW, served=served)


def test_energy_by_the_counter_to_the_joule() -> None:
    # P = 100 + 10 t, so its integral from 2 to 8 is 600 + 300
    card = ScriptedCard(power_w=lambda t: 100 + 10 * t, energy_j=lambda t: 100 * t + 5 * t * t)
    found = measured([card], prices={"GPU": 3.6})
    values = found.values
    assert values["energy_j"] == pytest.approx(900, abs=0.5)
    assert values["energy_source"] == COUNTER
    assert values["energy_j_per_1000_queries"] == pytest.approx(300, abs=0.2)
    assert values["energy_j_per_1000_rows"] == pytest.approx(75, abs=0.1)
    assert values["device_power_w"] == {
        "value": pytest.approx(150), "p10": pytest.approx(126), "p90": pytest.approx(174), "n": 61
    }  # fmt: skip
    assert values["gpu_utilisation"]["value"] == pytest.approx(0.5)
    assert values["gpu_memory_bytes"] == 1 << 30
    assert values["cost_per_million"] == pytest.approx(3.6 / 3600 / 2000 * 1e6)
    assert values["device_metered"] == "Scripted GPU GPU-0"
    assert found.void is None
    assert set(found.not_known) == {"cpu_cores_server"}


def test_energy_by_trapezoid_where_the_card_has_no_counter() -> None:
    found = measured([ScriptedCard(power_w=lambda t: 100 + 10 * t)])
    assert found.values["energy_j"] == pytest.approx(900, abs=0.01)
    assert found.values["energy_source"] == TRAPEZOID


def test_a_counter_that_began_anew_is_not_believed() -> None:
    card = ScriptedCard(energy_j=lambda t: 100 * (t if t < 5 else t - 5))
    found = measured([card])
    assert found.values["energy_source"] == TRAPEZOID
    assert found.values["energy_j"] == pytest.approx(600, abs=0.01)


def test_a_card_that_disappears_in_the_middle_voids_the_row() -> None:
    found = measured([ScriptedCard(lost_from_s=5.0)])
    assert found.void is not None
    assert "Scripted GPU was lost" in found.void
    assert found.values["energy_j"] is None
    assert "was lost" in found.not_known["gpu_utilisation"]
    row = with_found({**ROW, "p50_ms": {"value": 1.0, "low": 0.9, "high": 1.1}}, found)
    assert row["p50_ms"] is None
    assert row["void"] == found.void


def test_another_process_on_the_card_voids_the_row() -> None:
    found = measured([ScriptedCard(pids=[os.getpid(), 999_999_999])])
    assert found.void is not None
    assert "shared" in found.void
    assert "999999999" in found.void
    assert measured([ScriptedCard(pids=[os.getpid()])]).void is None


def test_ids_of_the_host_are_counted_where_they_cannot_be_told_apart() -> None:
    assert measured([ScriptedCard(pids=[999_999_998])]).void is None
    found = measured([ScriptedCard(pids=[999_999_998, 999_999_999])])
    assert found.void is not None
    assert "2 processes" in found.void


def test_of_two_cards_the_one_that_names_our_process() -> None:
    idle = ScriptedCard(power_w=lambda _: 50.0, uuid="GPU-idle")
    ours = ScriptedCard(power_w=lambda _: 300.0, uuid="GPU-ours", pids=[os.getpid()])
    found = measured([idle, ours])
    assert found.values["device_metered"] == "Scripted GPU GPU-ours"
    assert found.values["energy_j"] == pytest.approx(1800, abs=0.01)


def test_two_cards_that_name_nobody_are_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    cards = [ScriptedCard(uuid="GPU-a"), ScriptedCard(uuid="GPU-b", power_w=lambda _: 200.0)]
    found = measured(cards)
    assert found.values["energy_j"] is None
    assert "2 cards" in found.not_known["energy_j"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b")
    assert measured(cards).values["energy_j"] == pytest.approx(1200, abs=0.01)


def test_a_run_on_two_cards_has_no_energy_of_one() -> None:
    cards = [ScriptedCard(uuid=f"GPU-{n}", pids=[os.getpid()]) for n in range(2)]
    assert "2 cards at once" in measured(cards).not_known["energy_j"]


def test_mig_says_that_the_card_is_not_the_instance() -> None:
    found = measured([ScriptedCard(mig=True)])
    assert found.values["device_power_w"] is None
    assert "MIG is on" in found.not_known["energy_j"]


def test_an_old_card_without_mig_is_read() -> None:
    assert measured([ScriptedCard(mig=None)]).values["energy_j"] == pytest.approx(600, abs=0.01)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("NVMLError_NoPermission", "no permission"),
        ("NVMLError_NotSupported", "does not support"),
        ("NVMLError_FunctionNotFound", "driver is too old"),
    ],
)
def test_what_may_not_be_read_is_null_and_the_rest_stays(error: str, words: str) -> None:
    card = ScriptedCard(energy_j=lambda t: 7 * t, fails={"nvmlDeviceGetPowerUsage": error})
    found = measured([card])
    assert found.values["device_power_w"] is None
    assert words in found.not_known["device_power_w"]
    assert found.values["energy_j"] == pytest.approx(42, abs=0.01)


def test_what_slowed_the_card_down_in_the_window_alone() -> None:
    card = ScriptedCard(throttle_bits=lambda t: 0x4 if 3 < t < 4 else 0x40 if t > 9 else 0x1)
    assert measured([card]).values["gpu_throttle_reasons"] == ["software power cap"]


@pytest.mark.parametrize("error", ["NVMLError_LibraryNotFound", "NVMLError_DriverNotLoaded"])
def test_no_driver_is_no_gpu_here(error: str) -> None:
    nvml = ScriptedNvml([], ScriptedClock(), init_fails=error)
    devices = Devices.of_this_machine(nvml=nvml)
    assert str(devices.cards).startswith("no GPU here")
    assert Devices.of_this_machine(nvml=ScriptedNvml([], ScriptedClock())).cards == "no GPU here"
    watched = devices.watched(server_pid=None, generator_pid=os.getpid())
    found = watched.fields(ROW, WINDOW, served=False)
    assert found.not_known["energy_j"].startswith("no GPU here")


def write_zone(root: Path, zone: str, name: str, energy_j: float, wraps_at_j: float) -> None:
    folder = root / zone
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{round(energy_j % wraps_at_j * 1e6)}\n")
    (folder / "max_energy_range_uj").write_text(f"{round(wraps_at_j * 1e6)}\n")


def test_the_cpus_energy_over_wraps_of_its_counters(tmp_path: Path) -> None:
    def tick(seconds: float) -> None:  # 60 W and 10 W; the core is a part of its package
        write_zone(tmp_path, "intel-rapl:0", "package-0", 95 + 60 * seconds, 100)
        write_zone(tmp_path, "intel-rapl:0:0", "core", 40 * seconds, 100)
        write_zone(tmp_path, "intel-rapl:0:1", "dram", 10 * seconds, 70)
        write_zone(tmp_path, "intel-rapl:1", "psys", 90 * seconds, 100)

    tick(0)
    found = measured([], rapl=tmp_path, row={**ROW, "device_found": "CPU"}, each_s=tick, step_s=1.0)
    assert found.values["energy_j"] == pytest.approx(6 * 70, abs=0.01)
    assert found.values["energy_source"] == "RAPL counters: package-0, dram"
    assert found.values["device_power_w"]["value"] == pytest.approx(70, abs=0.01)
    assert found.values["device_metered"] == "CPU"
    assert found.not_known["gpu_utilisation"] == "computed on the CPU"


def test_counters_that_may_not_be_read_are_null(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_zone(tmp_path, "intel-rapl:0", "package-0", 1, 100)
    read_text = Path.read_text

    def forbidden(path: Path, *args: Any, **kwargs: Any) -> str:  # root may read any file
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", forbidden)
    found = measured([], rapl=tmp_path, row={**ROW, "device_found": "CPU"})
    assert found.values["energy_j"] is None
    assert found.not_known["energy_j"] == "not readable: RAPL counters need root"


def test_a_server_that_names_no_device_is_on_the_card_that_names_it() -> None:
    unknown = {**ROW, "device_found": "unknown"}
    served: dict[str, Any] = {"served": True, "server_pid": os.getpid(), "row": unknown}
    on_card = measured([ScriptedCard(pids=[os.getpid()])], **served)
    assert on_card.values["energy_j"] == pytest.approx(600, abs=0.01)
    nowhere = measured([ScriptedCard()], **served)
    assert "does not say on what it computes" in nowhere.not_known["energy_j"]
    assert measured([], **served).values["device_metered"] == "CPU"
    elsewhere = measured([ScriptedCard()], served=True, row=unknown)
    assert "does not say on what it computes" in elsewhere.not_known["energy_j"]


def test_a_row_without_an_answer_knows_nothing() -> None:
    devices = Devices.of_this_machine(nvml=ScriptedNvml([], ScriptedClock()))
    watched = devices.watched(server_pid=None, generator_pid=os.getpid())
    found = watched.fields({**ROW, "n": 0}, None, served=False)
    assert set(found.values.values()) == {None}
    assert set(found.not_known) == set(found.values)


BURN = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if sys.argv[1] == "2" else None
print("there", flush=True)
while time.process_time() < 60: pass
"""


def test_cpu_time_of_a_tree_is_what_the_kernel_counts_for_it() -> None:
    from dualtower_benchmarks.devices.cpu_time import ProcessTree

    process = subprocess.Popen(
        [sys.executable, "-c", BURN, "2"], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        tree = ProcessTree(process.pid)
        tree.cpu_s()
        assert len(tree.pids) == 2
        before, kernel_before = tree.cpu_s(), kernel_s(tree.pids)
        while kernel_s(tree.pids) - kernel_before < 0.2:
            pass
        after, kernel_after = tree.cpu_s(), kernel_s(tree.pids)
        assert after - before == pytest.approx(kernel_after - kernel_before, abs=0.05)
        assert after - before > 0.1
    finally:
        os.killpg(process.pid, 9)
        process.wait()
        process.stdout.close()
    assert tree.cpu_s() >= after  # what ended stays counted


def kernel_s(pids: frozenset[int]) -> float:
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(field[11]) + int(field[12]) for field in fields) / os.sysconf("SC_CLK_TCK")
