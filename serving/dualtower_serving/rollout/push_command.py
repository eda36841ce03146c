"""Runs `dualtower push`, which may need TensorFlow's file systems, as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dualtower.errors import UsageError

__all__ = ["Copied", "run_push"]


@dataclass(frozen=True)
class Copied:
    written_bytes: int
    kept_bytes: int


def run_push(bundle: Path, target: str, *, dry_run: bool) -> Copied:
    command = [sys.executable, "-c", "from dualtower.cli import main; main()", "push",
               str(bundle), target, "--json", *["--dry-run"] * dry_run]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise UsageError(done.stderr.strip().splitlines()[-1].removeprefix("error: "))
    said = json.loads(done.stdout)
    sizes = {"write": 0, "keep": 0}
    for file in said["files"]:
        sizes[file["action"]] += file["size_bytes"]
    return Copied(sizes["write"], sizes["keep"])
