"""A file of ids, one a line: who is asked for, or what may be recommended."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

from dualtower.errors import DataError
from dualtower_trainer.data.item_reader import MAX_ID_CHARS

__all__ = ["IdFile", "read_ids"]

_MAX_LINE_BYTES = 4 * MAX_ID_CHARS + 2  # an id of the longest characters, CR and LF


@dataclass(frozen=True)
class IdFile:
    """Distinct ids in the order of the file, and how many lines said one again."""

    ids: tuple[str, ...]
    repeated: int


def read_ids(path: Path) -> IdFile:
    """Reads UTF-8 lines, gzipped or not; white space around an id and blank lines do not count.

    Ids are stripped exactly as `dualtower data import` strips them, so that they meet again.

    Raises:
        DataError: the file is missing, damaged, no UTF-8, or holds no id; or a line is too long.
    """
    found: dict[str, None] = {}
    lines = 0
    try:
        with path.open("rb") as raw:
            stream = gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == b"\x1f\x8b" else raw
            number = 0
            while line := stream.readline(_MAX_LINE_BYTES):
                number += 1
                item = _id_of(line, number, path)
                if item:
                    lines += 1
                    found[item] = None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is cut off or damaged ({error}); write it again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); give one id a line") from error
    if not found:
        raise DataError(f"{path} holds no id; give one id a line")
    return IdFile(tuple(found), lines - len(found))


def _id_of(line: bytes, number: int, path: Path) -> str:
    if number == 1 and line[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path} is UTF-16; convert it: iconv -f UTF-16 -t UTF-8")
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
    except UnicodeDecodeError as error:
        # a line cut at its limit may end within a character
        if len(line) < _MAX_LINE_BYTES:
            raise DataError(f"{path}, line {number} is no UTF-8 ({error.reason})") from error
        text = "?" * (MAX_ID_CHARS + 1)
    if "\0" in text:
        raise DataError(f"{path}, line {number} has a NUL byte; give one id a line")
    if len(text) > MAX_ID_CHARS:
        raise DataError(
            f"{path}, line {number} has more than {MAX_ID_CHARS} characters; give one id a line"
        )
    return text
