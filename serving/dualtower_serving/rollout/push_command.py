"""Copies a bundle: to a folder here and now, to a URL by `dualtower push`, which needs TensorFlow.

Serving imports nothing of the export; what it needs of it, it asks for as a user does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dualtower.errors import UnavailableError
from dualtower.push import push_to_folder
from dualtower_serving.rollout.target import Target

__all__ = ["Copied", "copy_bundle"]

_DUALTOWER = (sys.executable, "-c", "from dualtower.cli import main; main()")


@dataclass(frozen=True)
class Copied:
    """What was written, or would be, and what was there already."""

    written_bytes: int
    kept_bytes: int


def copy_bundle(bundle: Path, target: Target, *, dry_run: bool) -> Copied:
    """Copies what is missing of a bundle at a target.

    Raises:
        BundleError: the bundle is damaged.
        UsageError: the version belongs to another bundle there.
        UnavailableError: the target cannot be written.
    """
    if target.is_folder:
        done = push_to_folder(bundle, target.place, dry_run=dry_run)
        return Copied(sum(done.written.values()), sum(done.kept.values()))
    command = [*_DUALTOWER, "push", str(bundle), target.place, "--json"]
    child = subprocess.run([*command, *["--dry-run"] * dry_run], stdout=subprocess.PIPE, text=True)
    if child.returncode:
        raise UnavailableError(
            f"`dualtower push {bundle} {target.place}` ended with {child.returncode}; its reason "
            "stands above"
        )
    sizes = {"write": 0, "keep": 0}
    for file in json.loads(child.stdout)["files"]:
        sizes[file["action"]] += file["size_bytes"]
    return Copied(sizes["write"], sizes["keep"])
