"""Writes a deployment: the whole folder or nothing, and nobody's work is lost."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dualtower.errors import UsageError
from dualtower.files import atomic_folder, disk_errors, fsync_path
from dualtower_serving.deploy.files import RECORD, Deployment

__all__ = ["Change", "compare", "write"]

_SCRIPT = ".sh"


@dataclass(frozen=True)
class Change:
    """What a write does to the folder that is there.

    Attributes:
        state: `new`, `same` (every file is as it would be written), or `other`.
        added, changed, removed: paths.
        edited: those of the changed and removed whose text is not what was written: someone's work.
        kept: files that no deployment wrote; they stay.
    """

    state: str
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    edited: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def compare(deployment: Deployment, out: Path) -> Change:
    """Compares without writing.

    Raises:
        UsageError: `out` is something that no deployment wrote.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return Change("new", added=tuple(deployment.files))
    written = _written(out)
    there = {
        path.relative_to(out).as_posix(): path
        for path in sorted(out.rglob("*"))
        if path.is_file() or path.is_symlink()
    }
    new = deployment.files
    hashes = {
        name: _sha256(there[name].read_bytes()) for name in there if name in new or name in written
    }
    changed = [
        name for name in new if name in there and hashes[name] != _sha256(new[name].encode())
    ]
    removed = [name for name in there if name in written and name not in new]
    return Change(
        state="other" if changed or removed or set(new) - set(there) else "same",
        added=tuple(name for name in new if name not in there),
        changed=tuple(changed),
        removed=tuple(removed),
        edited=tuple(
            name
            for name in (*changed, *removed)
            if name != RECORD and hashes[name] != written.get(name)
        ),
        kept=tuple(name for name in there if name not in new and name not in written),
    )


def write(deployment: Deployment, out: Path, *, force: bool = False) -> Change:
    """Writes the folder; a second time it is the same folder, or needs `force`.

    Files that no deployment wrote stay. With `force`, files that were edited are replaced.

    Raises:
        UsageError: `out` differs and `force` is not given, or no deployment wrote it.
        UnavailableError: no space is left.
    """
    change = compare(deployment, out)
    if change.state == "same":
        return change
    if change.state == "other" and not force:
        names = (*change.changed, *change.removed, *change.added)
        listed = ", ".join(name for name in names if name != RECORD)
        edited = f" ({', '.join(change.edited)} was edited since)" if change.edited else ""
        raise UsageError(
            f"{out} holds another deployment, which differs in {listed}{edited}; write it anew "
            "with --force, which keeps files of your own, or choose another folder"
        )
    if change.state == "new" and out.exists():
        with disk_errors(out):
            out.rmdir()  # empty, so that the new one can take its place
    aside = out.with_name(f"{out.name}.before-{os.getpid()}")
    with disk_errors(out):
        if change.state == "other":
            os.rename(out, aside)
        try:
            with atomic_folder(out) as folder:
                _fill(folder, deployment.files)
                for name in change.kept:
                    target = folder / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(aside / name, target, follow_symlinks=False)
        except BaseException:
            if change.state == "other" and not out.exists():
                os.rename(aside, out)
            raise
        shutil.rmtree(aside, ignore_errors=True)
        fsync_path(out.parent)
    return change


def _fill(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        if name.endswith(_SCRIPT):
            target.chmod(0o755)


def _written(out: Path) -> Mapping[str, str]:
    """Hashes of the files as they were written, by path."""
    try:
        written = json.loads((out / RECORD).read_text(encoding="utf-8"))["files"]
        return {str(name): str(digest) for name, digest in written.items()} | {RECORD: ""}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{out} exists and no `dualtower deploy` wrote it (no {RECORD} that can be read); "
            "choose another folder, or remove it"
        ) from error


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
