"""Machine facts against other sources of the same facts; the unreadable is None."""

from __future__ import annotations

import json
import os
import platform
import shutil
import stat
import sys
from importlib import metadata
from pathlib import Path

import pytest

from dualtower_benchmarks import machine


def test_facts_agree_with_the_machine_and_are_json() -> None:
    facts = json.loads(json.dumps(machine.machine_facts()))
    assert facts["logical_cores"] == os.cpu_count()
    assert 1 <= facts["usable_cores"] <= facts["logical_cores"]
    assert facts["memory_total_bytes"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert facts["python_version"] == platform.python_version()
    assert facts["package_versions"]["grpcio"] == metadata.version("grpcio")
    assert facts["load_average_1_min_before"] >= 0
    if sys.platform == "linux":
        assert facts["cpu_model"] is None or facts["cpu_model"] in Path("/proc/cpuinfo").read_text()


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there is a GPU tool here")
def test_without_a_gpu_the_facts_say_so() -> None:
    assert machine.gpu_names() == []
    assert machine.machine_facts()["gpu"] == machine.NO_GPU == "no GPU"


@pytest.mark.parametrize(
    ("script", "names"),
    [
        ("printf 'Some GPU 80GB\\nSome GPU 80GB\\n'", ["Some GPU 80GB", "Some GPU 80GB"]),
        ("echo 'has failed because it could not communicate with the driver'; exit 9", []),
        ("true", []),
    ],
)
def test_gpu_names_come_from_the_tool(tmp_path: Path, script: str, names: list[str]) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    assert machine.gpu_names(str(tool)) == names


def test_a_commit_belongs_to_this_code_or_to_none(tmp_path: Path) -> None:
    assert machine._git_commit(tmp_path) is None
    here = machine._git_commit(Path(machine.__file__).parent)
    assert here is None or len(here.removesuffix("-dirty")) == 40


@pytest.mark.parametrize(("text", "cores"), [("150000 100000", 1.5), ("max 100000", None)])
def test_cpu_quota(tmp_path: Path, text: str, cores: float | None) -> None:
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert machine._cpu_quota(tmp_path / "cpu.max") == cores
    assert machine._cpu_quota(tmp_path / "absent") is None


@pytest.mark.parametrize(("text", "limit"), [("8589934592", 8589934592), ("max", None)])
def test_memory_limit(tmp_path: Path, text: str, limit: int | None) -> None:
    (tmp_path / "memory.max").write_text(text + "\n")
    assert machine._memory_limit(tmp_path / "memory.max") == limit


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["avx2", "avx512f", "avx512_vnni", "avx512_bf16"], "Some CPU (AVX-512 VNNI)"),
        (["avx2", "avx512f"], "Some CPU (AVX-512)"),
        (["avx2"], "Some CPU (AVX2)"),
        (["asimd", "asimddp"], "Some CPU (NEON dot product)"),
        ([], "Some CPU"),
    ],
)
def test_a_cpu_is_named_with_its_widest_vectors(flags: list[str], words: str) -> None:
    assert machine.cpu_words({"cpu_model": "Some CPU", "cpu_flags": flags}) == words


def test_a_cpu_without_a_name_keeps_its_vectors() -> None:
    assert machine.cpu_words({"cpu_model": None, "cpu_flags": ["avx2"]}) == "unknown CPU (AVX2)"
