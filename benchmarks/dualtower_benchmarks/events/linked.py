"""A copy of a bundle that takes no room: every file is a hard link where the disk allows it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from dualtower.bundle import MODELS, Bundle

__all__ = ["WARMUP_FILE", "linked_bundle", "linked_tree", "warmup_files", "without_warmup"]

WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")


def linked_bundle(bundle: Bundle, folder: Path) -> Bundle:
    """The same bundle below `folder`, of which version folders may come and go."""
    linked_tree(bundle.path, folder)
    return Bundle.open(folder)


def linked_tree(source: Path, target: Path) -> None:
    """A tree of hard links; files are copied where the disk is another."""
    shutil.copytree(source, target, copy_function=_link)


def warmup_files(bundle: Bundle) -> list[Path]:
    """Of the models that have one."""
    found = [bundle.model_path(name) / str(bundle.version) / WARMUP_FILE for name in MODELS]
    return [path for path in found if path.is_file()]


def without_warmup(bundle: Bundle, folder: Path) -> Bundle:
    """The same bundle without its warm-up files."""
    copy = linked_bundle(bundle, folder)
    for path in warmup_files(copy):
        path.unlink()
    return copy


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)
