"""What a run has measured so far, a point a file, so that a killed run goes on where it was.

    server-quick.json.partial/
        run.json                     what the points must agree with
        <repeat>-<key>.json          a row
        <repeat>-<key>.parquet       its requests
        <kind>-<repeat>-<key>.json   notes on it, of no figure

A point is there when its row is; the row is written last.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dualtower.errors import UsageError
from dualtower.files import make_folder, write_text
from dualtower_benchmarks.load.raw_store import read_raw, write_raw
from dualtower_benchmarks.load.samples import Samples

__all__ = ["PointStore"]

_COMMITS = "git_commits"


class PointStore:
    """The folder of a run that is not finished.

    Args:
        out: the results file that the run will write.
        run: what every point of the run shares: scenario, bundle, machine, address.
        git_commit: of the code that runs. It may be another one than that of earlier points.
        hold: raises where a point that was just measured is of something else; it is not kept.

    Raises:
        UsageError: the folder holds points of another run.
    """

    def __init__(
        self,
        out: Path,
        run: Mapping[str, Any],
        *,
        git_commit: str | None = None,
        hold: Callable[[], None] = lambda: None,
    ) -> None:
        self._shared, self._git_commit, self._hold = run, git_commit, hold
        self.folder = out.with_name(out.name + ".partial")
        self._run = self.folder / "run.json"
        self._git_commits: list[str | None] = []
        make_folder(self.folder)
        if self._run.exists():
            found = json.loads(self._run.read_text(encoding="utf-8"))
            self._git_commits = found.pop(_COMMITS, [])
            self._hold_same(found, run)
        else:
            self._write_run()

    @property
    def git_commits(self) -> list[str | None]:
        """Of the code that measured the points, in order; None outside of a checkout."""
        return list(self._git_commits)

    def has(self, repeat: int, key: str) -> bool:
        """Whether a case was measured already."""
        return self._path(repeat, key, "json").exists()

    def read(self, repeat: int, key: str) -> tuple[list[dict[str, Any]], list[Samples]] | None:
        """The rows and samples of a case that was measured already; None: it was not."""
        if not self.has(repeat, key):
            return None
        text = self._path(repeat, key, "json").read_text(encoding="utf-8")
        rows: list[dict[str, Any]] = json.loads(text)
        raw = read_raw(self._path(repeat, key, "parquet"))
        return rows, [raw.get(number, Samples.none()) for number in range(len(rows))]

    def write(
        self, repeat: int, key: str, rows: list[dict[str, Any]], samples: list[Samples]
    ) -> None:
        """Keeps a case: its rows (void attempts are rows, too) and the requests behind each."""
        self._hold()
        if self._git_commit not in self._git_commits:
            self._git_commits.append(self._git_commit)
            self._write_run()
        write_raw(self._path(repeat, key, "parquet"), samples)
        write_text(self._path(repeat, key, "json"), json.dumps(rows, ensure_ascii=False) + "\n")

    def note(self, kind: str, repeat: int, key: str, rows: list[dict[str, Any]]) -> None:
        """Keeps what is to be known of a case beside its figures."""
        path = self.folder / f"{kind}-{repeat}-{key}.json"
        write_text(path, json.dumps(rows, ensure_ascii=False) + "\n")

    def notes(self, kind: str) -> Iterator[dict[str, Any]]:
        """All of one kind."""
        for path in sorted(self.folder.glob(f"{kind}-*.json")):
            yield from json.loads(path.read_text(encoding="utf-8"))

    def remove(self) -> None:
        """Once the results are written."""
        shutil.rmtree(self.folder)

    def _write_run(self) -> None:
        run = {**self._shared, _COMMITS: self._git_commits}
        write_text(self._run, json.dumps(run, ensure_ascii=False, indent=1) + "\n")

    def _path(self, repeat: int, key: str, suffix: str) -> Path:
        return self.folder / f"{repeat}-{key}.{suffix}"

    def _hold_same(self, found: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
        for name in sorted({*found, *asked}):
            if found.get(name) != asked.get(name):
                raise UsageError(
                    f"{self.folder} holds a run that was not finished, of another {name} "
                    f"({_short(found.get(name))}, now {_short(asked.get(name))}); points of both "
                    "cannot stand in one file: remove the folder, or choose another --out"
                )


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"
