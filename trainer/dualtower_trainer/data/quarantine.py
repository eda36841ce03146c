"""`quarantine.csv`: the rows of a source that could not be used, to be read and repaired.

Columns: file, line, reason, raw. Raw text stays readable: bytes that are no UTF-8 and NUL are
written as `\\xNN`. The file is capped; what was left out is counted in its last rows.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import IO, Any

__all__ = ["MAX_RAW_CHARS", "MAX_ROWS_PER_REASON", "BadRows", "Quarantine"]

MAX_ROWS_PER_REASON = 10_000  # of one file
MAX_RAW_CHARS = 1_000
_EXAMPLES = 3


class Quarantine:
    """Writes bad rows to `path`, which appears with the first of them.

    Example:
        with Quarantine(folder / "quarantine.csv") as quarantine:
            bad = quarantine.of("log.csv")
            bad.add(17, "bad timestamp", "u1,i1,yesterday")
        bad.counts                                # Counter({"bad timestamp": 1})
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parts: list[BadRows] = []
        self._stream: IO[str] | None = None

    def __enter__(self) -> Quarantine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._stream is None:
            return
        for part in self._parts:
            for reason, count in part.not_written().items():
                self.write(part.file, "", f"{reason}: {count} more rows are not written here", "")
        self._stream.close()

    def of(self, file: str) -> BadRows:
        """The bad rows of one file; a file that is read twice has two."""
        self._parts.append(BadRows(file, self))
        return self._parts[-1]

    def report(self) -> dict[str, Any]:
        """The part of the import report that describes the file."""
        total = sum(part.total for part in self._parts)
        beyond = sum(sum(part.not_written().values()) for part in self._parts)
        return {"rows": total, "file": self._path.name if total else None, "not_written": beyond}

    def write(self, file: str, line: str, reason: str, raw: str) -> None:
        """Appends one row to the file, creating it first where need be."""
        if self._stream is None:
            self._stream = self._path.open("w", encoding="utf-8", newline="")
            csv.writer(self._stream).writerow(["file", "line", "reason", "raw"])
        csv.writer(self._stream).writerow([file, line, reason, raw])


class BadRows:
    """The bad rows of one file: counts by reason, and the first few for messages."""

    def __init__(self, file: str, quarantine: Quarantine) -> None:
        self.file = file
        self.counts: Counter[str] = Counter()
        self.examples: list[str] = []
        self._quarantine = quarantine

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def add(self, line: int, reason: str, raw: str) -> None:
        """Counts and writes one row; in `raw` lone surrogates stand for invalid bytes."""
        self.counts[reason] += 1
        if self.counts[reason] > MAX_ROWS_PER_REASON:
            return
        shown = _readable(raw.rstrip("\r\n"))
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"line {line}: {reason}: {shown[:80]}")
        self._quarantine.write(self.file, str(line), reason, shown)

    def not_written(self) -> dict[str, int]:
        """Rows beyond the cap, by reason."""
        return {
            reason: count - MAX_ROWS_PER_REASON
            for reason, count in self.counts.items()
            if count > MAX_ROWS_PER_REASON
        }


def _readable(raw: str) -> str:
    cut = raw[:MAX_RAW_CHARS]
    text = cut.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    more = f" … ({len(raw)} characters)" if len(raw) > MAX_RAW_CHARS else ""
    return text.replace("\0", "\\x00") + more
