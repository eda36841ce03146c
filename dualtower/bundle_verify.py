"""`verify`: is every byte of a bundle the one that was written? Standard library alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dualtower.bundle import MANIFEST, MODELS, Bundle, fingerprint_of, manifest_fault
from dualtower.bundle_files import Contents, read_contents, sha256_of

__all__ = ["Problem", "verify"]


@dataclass(frozen=True)
class Problem:
    """One thing that `verify` found: the part, and what is wrong with it."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def verify(path: str | os.PathLike[str]) -> list[Problem]:
    """Recomputes the fingerprint and every hash; empty when all agree.

    Found are a changed byte in any file, the manifest included; missing and additional files and
    folders; symbolic links and whatever else is no plain file.

    Raises:
        BundleError: the manifest itself cannot be read.
    """
    bundle = Bundle.open(path)
    if fault := manifest_fault(bundle):
        return [Problem(MANIFEST, fault)]  # nothing can be held against a manifest that was changed
    return [
        *_fingerprint_problems(bundle),
        *_file_problems(bundle, read_contents(bundle.path)),
    ]


def _fingerprint_problems(bundle: Bundle) -> Iterator[Problem]:
    fingerprint = fingerprint_of(bundle.manifest["space"])
    if fingerprint != bundle.fingerprint:
        yield Problem(
            MANIFEST, f"fingerprint is {bundle.fingerprint}, its space gives {fingerprint}"
        )


def _file_problems(bundle: Bundle, contents: Contents) -> Iterator[Problem]:
    recorded: Mapping[str, Mapping[str, Any]] = bundle.manifest["files"]
    for name, facts in recorded.items():
        if name in contents.files:
            if what := _difference(contents.files[name], facts):
                yield Problem(name, what)
        elif name not in contents.strange:
            yield Problem(name, "missing")
    yield from (Problem(name, what) for name, what in contents.strange.items())
    known = {*recorded, MANIFEST}
    yield from (
        Problem(name, "not in the manifest") for name in contents.files if name not in known
    )
    needed = {str(parent) for name in recorded for parent in PurePosixPath(name).parents}
    for name in sorted(contents.folders - needed):
        yield Problem(name, "a folder that is not in the manifest")
    for model in MODELS:
        if f"serving/{model}/{bundle.version}/saved_model.pb" not in contents.files:
            yield Problem(f"serving/{model}", f"has no version {bundle.version}")


def _difference(path: Path, facts: Mapping[str, Any]) -> str:
    """How a file differs from what is recorded of it; "" if it does not."""
    try:
        size_bytes = path.stat().st_size
        if size_bytes != facts["size_bytes"]:
            return f"{size_bytes} bytes, recorded {facts['size_bytes']}"
        if sha256_of(path) != facts["sha256"]:
            return "content differs from its recorded sha256"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return ""
