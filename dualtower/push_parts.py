"""What a push writes: the parts of a bundle in the order in which they become visible."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dualtower.bundle import MANIFEST, Bundle
from dualtower.bundle_files import sha256_of
from dualtower.pushed import PUSH_ORDER, bundle_place, model_place, place_of
from dualtower.server_entries import model_entries

__all__ = ["SERVER_CONFIG", "Part", "PushedFile", "parts_of"]

SERVER_CONFIG = "models.config"  # of the target, beside the manifest
_PB = "saved_model.pb"
_BLOCK_BYTES = 8 << 20


@dataclass(frozen=True)
class PushedFile:
    """A file as it must arrive, and where it comes from: a path of this machine, or its content."""

    source: Path | bytes
    size_bytes: int
    sha256: str

    def blocks(self) -> Iterator[bytes]:
        """The content, a few MB at a time."""
        if isinstance(self.source, bytes):
            yield self.source
            return
        with self.source.open("rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                yield block


@dataclass(frozen=True)
class Part:
    """A folder that becomes visible at once, where the target can do that.

    Attributes:
        place: the folder, below the target.
        files: by their names below `place`; the first is written first.
        last: the name of the file that makes the folder what it is; "" where none does.
    """

    place: str
    files: Mapping[str, PushedFile]
    last: str = ""


def parts_of(bundle: Bundle, target: str) -> list[Part]:
    """The bundle but for its models, then the models in `PUSH_ORDER`.

    Args:
        bundle: a whole one.
        target: a folder or URL, without a slash at its end.
    """
    fingerprint, version = bundle.fingerprint, bundle.version
    manifest = bundle.path / MANIFEST
    facts = {MANIFEST: (sha256_of(manifest), manifest.stat().st_size)}
    facts |= {
        name: (one["sha256"], one["size_bytes"]) for name, one in bundle.manifest["files"].items()
    }
    sorted_out: dict[str, dict[str, PushedFile]] = {
        place: {}
        for place in (
            bundle_place(fingerprint, version),
            *(model_place(model, version) for model in PUSH_ORDER),
        )
    }
    for name, (sha256, size_bytes) in facts.items():
        place = place_of(name, fingerprint, version)
        folder = next(folder for folder in sorted_out if place.startswith(f"{folder}/"))
        file = PushedFile(bundle.path / name, size_bytes, sha256)
        sorted_out[folder][place.removeprefix(f"{folder}/")] = file
    rest, *models = sorted_out.items()
    rest[1][SERVER_CONFIG] = _of_text(server_config(bundle, target))
    return [Part(*rest), *(Part(place, files, _PB) for place, files in models)]


def server_config(bundle: Bundle, target: str) -> str:
    """`--model_config_file` for a server of this very version of the pair at the target."""
    return model_entries(target, policy="specific", version=bundle.version)


def _of_text(text: str) -> PushedFile:
    content = text.encode()
    return PushedFile(content, len(content), hashlib.sha256(content).hexdigest())
