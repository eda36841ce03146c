"""A new bundle with other settings of its server, and the evidence for them.

Models, files for a phone and catalogue are copied as they are, and so is the version: the space is
the same, hence the fingerprint, and clients and indexes of the old bundle fit the new one. The
manifest is written anew, since files changed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dualtower.bundle import Bundle, write_manifest
from dualtower.bundle_verify import verify
from dualtower.errors import BundleError
from dualtower.files import atomic_folder
from dualtower_benchmarks.tune.candidates import OFF, PRESENT, Candidate
from dualtower_export.server_config import server_flags
from dualtower_serving.bundle_flags import FILE_NAME

__all__ = ["EVIDENCE", "flags_text", "hold_whole", "write_tuned"]

EVIDENCE = "tune.json"
_COMPUTED = ("fingerprint", "schema_version", "files", "manifest_sha256")
_OF_BATCHING = ("--enable_batching", "--batching_parameters_file")


def hold_whole(bundle: Bundle) -> None:
    """Raises BundleError where the bundle is not as it was written: a copy would seal that."""
    if problems := verify(bundle.path):
        raise BundleError(
            f"{bundle.path} is not whole ({problems[0]}), and a copy of it would not show that; "
            f"see `dualtower verify {bundle.path}`, and export it again"
        )


def write_tuned(
    bundle: Bundle, out: Path, picked: Candidate, evidence: Mapping[str, Any]
) -> Bundle:
    """Writes the new bundle, whole or not at all.

    Args:
        picked: its batching and its flags go into the serving folder.
        evidence: `serving/tune.json`.

    Raises:
        UsageError: `out` is there already.
        BundleError: the bundle is not whole.
    """
    hold_whole(bundle)
    with atomic_folder(out) as folder:
        shutil.copytree(bundle.path, folder, dirs_exist_ok=True)
        serving = folder / "serving"
        if picked.batching not in (PRESENT, OFF):
            (serving / "batching.config").write_text(picked.batching, encoding="utf-8")
        own = serving / FILE_NAME
        text = own.read_text(encoding="utf-8") if own.is_file() else server_flags()
        own.write_text(flags_text(text, picked), encoding="utf-8")
        said = json.dumps(evidence, indent=1, ensure_ascii=False)
        (serving / EVIDENCE).write_text(said + "\n", encoding="utf-8")
        fields = {key: bundle.manifest[key] for key in bundle.manifest if key not in _COMPUTED}
        write_manifest(folder, fields)
    return Bundle.open(out)


def flags_text(text: str, picked: Candidate) -> str:
    """`server.flags` with the picked flags in place of those of the same name."""
    names = {flag.partition("=")[0] for flag in picked.flags}
    names |= set(_OF_BATCHING) if picked.batching != PRESENT else set()
    kept = [line for line in text.split() if line.partition("=")[0] not in names]
    if picked.batching not in (PRESENT, OFF):
        standard = server_flags().split()
        kept += [line for line in standard if line.partition("=")[0] in _OF_BATCHING]
    return "".join(f"{line}\n" for line in (*kept, *picked.flags))
