"""Lines of a text file, plain or gzipped, in bounded memory and whatever its bytes are.

A byte that is no UTF-8 becomes a lone surrogate, which the readers find and name; files of before
UTF-8 are repaired line by line instead, where their format says so.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dualtower.errors import DataError
from dualtower.progress import bar
from dualtower_trainer.data.record import first_line

__all__ = [
    "MAX_LINE_CHARS",
    "bounded_lines",
    "damage_named",
    "file_head",
    "numbered_lines",
    "opened_text",
    "repaired",
    "row_bar",
]

MAX_LINE_CHARS = 1 << 24
_MIB = 1 << 20
_TICK_ROWS = 10_000


def file_head(path: Path, kinds: str) -> bytes:
    """The first four bytes.

    Args:
        path: the file.
        kinds: what it may be, for the message.

    Raises:
        DataError: it is missing, a folder, or empty.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder; give a {kinds} file")
    try:
        with path.open("rb") as stream:
            head = stream.read(4)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if not head:
        raise DataError(f"{path} is empty; it must have a header and rows")
    return head


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Names the file when its compression breaks off or its bytes are damaged."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path} is cut off or damaged ({first_line(error)}); fetch it again"
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error


@contextmanager
def opened_text(path: Path) -> Iterator[tuple[io.BufferedReader, io.TextIOWrapper]]:
    """The file as it lies on the disk, and its text, unpacked where it is gzipped."""
    with path.open("rb") as raw:
        zipped = raw.peek(2)[:2] == b"\x1f\x8b"
        binary = gzip.GzipFile(fileobj=raw, mode="rb") if zipped else raw
        if binary.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError(f"{path} is UTF-16; convert it: iconv -f UTF-16 -t UTF-8")
        with io.TextIOWrapper(binary, "utf-8-sig", errors="surrogateescape", newline="") as text:
            yield raw, text


def bounded_lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Lines of bounded length; what is beyond is skipped."""
    while line := text.readline(MAX_LINE_CHARS):
        if len(line) == MAX_LINE_CHARS and line[-1] not in "\r\n":
            while (rest := text.readline(MAX_LINE_CHARS)) and rest[-1] not in "\r\n":
                pass
        yield line


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Every line that is not blank, with its number from 1 and without its end.

    Raises:
        DataError: the file is missing, breaks off or is damaged.
    """
    with damage_named(path), opened_text(path) as (raw, text), row_bar(path) as moved:
        for number, line in enumerate(bounded_lines(text), start=1):
            moved(raw)
            if line := line.rstrip("\r\n"):
                yield number, line


def repaired(line: str) -> str:
    """A line that is no UTF-8 read as Latin-1, as older data sets are written.

    >>> repaired(b"caf\\xe9".decode("utf-8", "surrogateescape"))
    'café'
    """
    if line.isascii():
        return line
    raw = line.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


@contextmanager
def row_bar(path: Path) -> Iterator[Callable[[io.BufferedReader], None]]:
    """A progress bar over the bytes of a file; what it yields is called with the file per row."""
    rows = done_mib = 0
    with bar(f"read {path.name}", path.stat().st_size // _MIB + 1) as moving:

        def row(raw: io.BufferedReader) -> None:
            nonlocal rows, done_mib
            rows += 1
            if rows % _TICK_ROWS == 0:
                moved = raw.tell() // _MIB - done_mib
                done_mib += moved
                moving.advance(moved, note=f"MiB, {rows:,} rows")

        yield row
