"""A build in a process of its own, ended at a limit. What is there already is not built again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from dualtower.errors import UnavailableError
from dualtower.files import fsync_path, fsync_tree, write_text
from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.index.case import IndexCase

__all__ = ["Built", "build", "job_of"]

_SIGKILL = -9


class Built:
    """An index on the disk.

    Attributes:
        path: its file, or folder.
        facts: `build_s`, `build_peak_bytes` and `disk_bytes`.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        self.path, self.facts = path, facts

    def remove(self) -> None:
        """Its files."""
        _remove(self.path)
        _facts_path(self.path).unlink(missing_ok=True)


def build(case: IndexCase, folder: Path, catalogue: Path, *, threads: int) -> Built:
    """Builds the case's index into `folder`.

    Args:
        catalogue: a folder of `make_catalogue`.
        threads: of the build.

    Raises:
        NotHere: it was ended at `max_build_s`, or by the system for its memory; no file is left.
        UnavailableError: the engine failed.
    """
    path = folder / case.build_name
    facts_path = _facts_path(path)
    if facts_path.exists():  # written last
        return Built(path, json.loads(facts_path.read_text(encoding="utf-8")))
    _remove(path)
    job = {**job_of(case, path, catalogue), "threads": threads}
    try:
        facts = _ran(job, case.max_build_s)
    except BaseException:
        _remove(path)
        raise
    if path.is_dir():
        fsync_tree(path)
    else:
        fsync_path(path)
    facts |= {"disk_bytes": _size(path), "build_threads": threads}
    write_text(facts_path, json.dumps(facts) + "\n")
    return Built(path, facts)


def job_of(case: IndexCase, path: Path, catalogue: Path) -> dict[str, Any]:
    """What a worker is told."""
    return {
        "engine": case.engine, "k": case.k, "lists": case.number_of_lists,
        "connectivity": case.connectivity, "expansion_add": case.expansion_add,
        "threads": case.threads, "path": str(path), "catalogue": str(catalogue),
    }  # fmt: skip


def _ran(job: Mapping[str, Any], limit_s: float) -> dict[str, Any]:
    with TemporaryFile("w+", errors="replace") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dualtower_benchmarks.index.build_worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            process.wait(limit_s)  # its input stays open: a worker ends with whoever ordered it
        except subprocess.TimeoutExpired:
            raise NotHere(f"its build was ended at max_build_s = {limit_s:g} s") from None
        finally:
            process.kill()
            said, _ = process.communicate()
        if process.returncode == _SIGKILL:
            raise NotHere("its build was ended by the system, most likely for its memory")
        if process.returncode or not said:
            log.seek(0)
            last = log.read().strip().splitlines()[-1:] or ["no message"]
            raise UnavailableError(f"{job['engine']} cannot be built: {last[0]}")
    facts: dict[str, Any] = json.loads(said)
    return facts


def _facts_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(one.stat().st_size for one in files)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
