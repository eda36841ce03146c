"""The files that a run reads: which ones, in which format, and how to know them again."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dualtower.errors import UsageError

__all__ = ["FORMATS", "InputFile", "find"]

FORMATS = {
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
}
_HEAD_BYTES = 1 << 20


@dataclass(frozen=True)
class InputFile:
    """A file, and what tells whether it is still the same one.

    Attributes:
        path: where it lies.
        kind: parquet, jsonl or csv.
        is_gzip: whether it is packed.
        size_bytes, mtime_ns: as the file system has them.
        head_sha256: of its first MiB; the whole may be larger than can be read twice.
    """

    path: Path
    kind: str
    is_gzip: bool
    size_bytes: int
    mtime_ns: int
    head_sha256: str

    def identity(self) -> dict[str, Any]:
        """The file without its folder: it may be mounted elsewhere when a run is resumed."""
        facts = asdict(self)
        for unsaid in ("path", "kind", "is_gzip"):
            del facts[unsaid]
        return {"name": self.path.name, **facts}


def find(patterns: Sequence[str | Path]) -> list[InputFile]:
    """The files that paths and patterns name: patterns sorted, each file once.

    Raises:
        UsageError: nothing matches, a file cannot be read, or its name ends in no known format.
    """
    paths: dict[Path, None] = {}
    if not isinstance(patterns, Iterable):
        raise UsageError(f"inputs are paths and patterns, got {patterns!r}")
    for pattern in patterns:
        if not isinstance(pattern, (str, Path)) or not str(pattern):
            raise UsageError(f"an input is a path or a pattern, got {pattern!r}")
        paths.update(dict.fromkeys(_matches(pattern)))
    if not paths:
        raise UsageError("no input file is given; name one that ends in " + ", ".join(FORMATS))
    return [_identified(path) for path in paths]


def _matches(pattern: str | Path) -> list[Path]:
    path = Path(pattern)
    if path.is_file():
        return [path]
    if path.is_dir():
        raise UsageError(
            f"{path} is a folder; name its files, such as {str(path / '*.parquet')!r} in quotes"
        )
    found = sorted(glob.glob(str(pattern), recursive=True))
    if not found:
        raise UsageError(f"{pattern} is no file, and no pattern that a file matches")
    return [Path(name) for name in found if Path(name).is_file()]


def _identified(path: Path) -> InputFile:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    is_gzip = suffixes[-1:] == [".gz"]
    suffix = "".join(suffixes[-2:-1] if is_gzip else suffixes[-1:])
    kind = FORMATS.get(suffix)
    if kind is None or (is_gzip and kind == "parquet"):
        raise UsageError(
            f"{path} has no known format: a name ends in {', '.join(FORMATS)}; "
            "all but Parquet also with .gz"
        )
    try:
        status = path.stat()
        with path.open("rb") as stream:
            head = hashlib.sha256(stream.read(_HEAD_BYTES)).hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    return InputFile(path, kind, is_gzip, status.st_size, status.st_mtime_ns, head)
