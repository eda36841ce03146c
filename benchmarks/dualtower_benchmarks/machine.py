"""Facts about the machine that a figure was measured on. What cannot be read is None, not guessed.

Read once before a run: the load average belongs to the time before the benchmark's own load.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["NO_GPU", "cpu_words", "gpu_names", "machine_facts", "usable_cores"]

NO_GPU = "no GPU"

_PACKAGES = ("dualtower", "tensorflow", "tf-keras", "ai-edge-litert", "grpcio", "protobuf", "numpy")
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimd", "asimddp", "i8mm")
_VECTORS = {  # the widest first; machines of one name differ in them, and severalfold in speed
    "amx_int8": "AMX", "avx512_vnni": "AVX-512 VNNI", "avx512f": "AVX-512", "avx2": "AVX2",
    "i8mm": "NEON i8mm", "asimddp": "NEON dot product", "asimd": "NEON",
}  # fmt: skip


def machine_facts() -> dict[str, Any]:
    """CPU, memory, load before, governor, versions, commit and GPUs, as JSON values."""
    import psutil

    cpu = _cpu()
    return {
        "cpu_model": cpu["model"],
        "cpu_flags": cpu["flags"],
        "virtual_machine": cpu["virtual"],
        "logical_cores": os.cpu_count(),
        "physical_cores": psutil.cpu_count(logical=False),
        "usable_cores": usable_cores(),
        "cpu_quota_cores": _cpu_quota(Path("/sys/fs/cgroup/cpu.max")),
        "cpu_governor": _read(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        "memory_total_bytes": psutil.virtual_memory().total,
        "memory_available_bytes": psutil.virtual_memory().available,
        "memory_limit_bytes": _memory_limit(Path("/sys/fs/cgroup/memory.max")),
        "load_average_1_min_before": os.getloadavg()[0],
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python_version": platform.python_version(),
        "package_versions": {name: _version(name) for name in _PACKAGES},
        "git_commit": _git_commit(Path(__file__).parent),
        "gpu": gpu_names() or NO_GPU,
    }


def cpu_words(machine: Mapping[str, Any]) -> str:
    """The CPU of `machine_facts` with its widest vectors: "AMD EPYC (AVX-512 VNNI)"."""
    model = machine["cpu_model"] or "unknown CPU"
    flags = machine.get("cpu_flags") or ()
    vectors = next((words for flag, words in _VECTORS.items() if flag in flags), None)
    return f"{model} ({vectors})" if vectors else model


def gpu_names(command: str = "nvidia-smi") -> list[str]:
    """Names of the GPUs that `nvidia-smi` lists; empty where it is missing or fails."""
    return (_run([command, "--query-gpu=name", "--format=csv,noheader"]) or "").splitlines()


def _cpu() -> dict[str, Any]:
    text = _read(Path("/proc/cpuinfo")) or ""
    first: dict[str, str] = {}
    for line in text.splitlines():
        key, separator, value = line.partition(":")
        if separator:
            first.setdefault(key.strip(), value.strip())
    flags = (first.get("flags") or first.get("Features") or "").split()
    return {
        "model": first.get("model name") or platform.processor() or None,
        "flags": [flag for flag in _FLAGS if flag in flags],
        "virtual": "hypervisor" in flags if flags else None,
    }


def usable_cores() -> int | None:
    """Cores that this process may run on."""
    # macOS has no affinity
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _cpu_quota(path: Path) -> float | None:
    quota, _, period = (_read(path) or "").partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _memory_limit(path: Path) -> int | None:
    text = _read(path) or ""
    return int(text) if text.isdigit() else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_commit(folder: Path) -> str | None:
    """The commit of the checkout that this code runs from, `-dirty` when it was changed since.

    An installed package may lie inside another repository; that one's commit says nothing.
    """
    git = ["git", "-C", str(folder)]
    if _run([*git, "ls-files", "--error-unmatch", Path(__file__).name]) is None:
        return None
    return _run([*git, "describe", "--always", "--abbrev=40", "--dirty"])


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def _run(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
