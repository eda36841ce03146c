"""The folder of a run: what it is a run of, which shards are complete, and what they come to.

part-00000.parquet             a shard; a reader of Parquet folders finds these and nothing else
_part-00000.done.json          it is complete: rows, SHA-256, input rows, where the next begins
_part-00000.quarantine.jsonl   the rows that it lacks, with file, line and reason
_run.json                      inputs, options and fingerprint, by which it is known again
_seen.sqlite                   the ids that came, until the run is complete
_embed.json                    the run is complete: totals
_lock                          held by the process that writes
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dualtower.errors import DataError, UsageError
from dualtower.files import disk_errors, exclusive_lock, make_folder, write_text
from dualtower_clients.bulk.records import Bad

__all__ = ["Done", "RunFolder"]

Done = dict[str, Any]  # what a done-file says

_RUN, _TOTALS, _SEEN, _LOCK = "_run.json", "_embed.json", "_seen.sqlite", "_lock"
# the totals first, since they say that all is there; _run.json last, which says whose folder it is
_OURS = (_TOTALS, "_part-*", "part-*.parquet", f"{_SEEN}*", _RUN)
_UNFINISHED = (".part-*.partial", "_part-*.tmp-*", f"{_RUN}.tmp-*", f"{_TOTALS}.tmp-*")


class RunFolder:
    """A folder, which the process holds while it writes.

    Args:
        path: of the folder; made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen_path = path / _SEEN

    @contextmanager
    def held(self) -> Iterator[None]:
        """No other process writes into the folder meanwhile.

        Raises:
            UsageError: one does already.
        """
        with disk_errors(self.path):
            make_folder(self.path)
        with exclusive_lock(self.path / _LOCK):
            yield

    def begin(self, run: Mapping[str, Any], *, restart: bool) -> list[Done]:
        """The shards that are complete, of a run that is resumed.

        Args:
            run: what the run is of: inputs, options, fingerprint.
            restart: whether everything is made anew.

        Raises:
            UsageError: the folder holds another run, or something else.
        """
        if restart:
            self._clear()
        for name in _UNFINISHED:  # of a run that was killed
            self._remove(name)
        if self.totals() is not None:
            self._remove(f"{_SEEN}*")
        earlier = self._read(_RUN)
        if earlier is None:
            self._check_empty()
        else:
            done = list(self._done())
            if done or self.totals() is not None:
                _check_same(self.path, earlier, run)
                return done
            self._clear()  # of a run that got nowhere, such as one of a misspelt column
        self._write(_RUN, run)
        return []

    def shard_path(self, shard: int) -> Path:
        return self.path / f"part-{shard:05d}.parquet"

    def finish_shard(self, shard: int, done: Mapping[str, Any], bad: Sequence[Bad]) -> None:
        """Says that a shard, which is under its name by now, is complete."""
        lines = [json.dumps(one._asdict(), ensure_ascii=False) + "\n" for one in bad]
        quarantine = self.path / f"_part-{shard:05d}.quarantine.jsonl"
        if lines:
            write_text(quarantine, "".join(lines))
        else:
            quarantine.unlink(missing_ok=True)
        self._write(_done_name(shard), done)

    def totals(self) -> dict[str, Any] | None:
        """What `finish` has written, of a run that is complete."""
        return self._read(_TOTALS)

    def finish(self, done: Sequence[Done], run: Mapping[str, Any]) -> dict[str, Any]:
        """Writes the totals: the run is complete."""
        totals = {
            "rows": sum(one["rows"] for one in done),
            "input_rows": done[-1]["input_rows"][1],
            "quarantined": _added(one["quarantined"] for one in done),
            "shards": [{name: one[name] for name in ("file", "rows", "sha256")} for one in done],
            "versions": sorted({version for one in done for version in one["versions"]}),
            **run,
        }
        self._write(_TOTALS, totals)
        self._remove(f"{_SEEN}*")
        return totals

    def _done(self) -> Iterator[Done]:
        """The complete shards from the first one on, up to one that is missing."""
        shard = 0
        while (done := self._read(_done_name(shard))) is not None:
            path = self.shard_path(shard)
            if not path.is_file() or path.stat().st_size != done["bytes"]:
                raise UsageError(
                    f"{path} is not what {_done_name(shard)} says of it; put it back, "
                    "or begin anew with --restart"
                )
            yield done
            shard += 1

    def _check_empty(self) -> None:
        others = sorted(path.name for path in self.path.iterdir() if path.name != _LOCK)
        if others:
            raise UsageError(
                f"{self.path} is not empty and holds no run of `dualtower embed` ({others[0]}); "
                "choose another folder"
            )

    def _clear(self) -> None:
        if self._read(_RUN) is None:
            return
        for pattern in _OURS:
            self._remove(pattern)

    def _remove(self, pattern: str) -> None:
        with disk_errors(self.path):
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self.path / name
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read {path}: {error}; begin anew in another folder") from error
        return values

    def _write(self, name: str, values: Mapping[str, Any]) -> None:
        write_text(self.path / name, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def _done_name(shard: int) -> str:
    return f"_part-{shard:05d}.done.json"


def _added(counts: Iterator[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(sorted(total.items()))


def _check_same(path: Path, earlier: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    differing = list(_differences(earlier, run))
    if differing:
        raise UsageError(
            f"{path} holds another run, which differs in {'; '.join(differing)}. Give what it was "
            "begun with to go on with it, --restart to replace it, or another folder"
        )


def _differences(earlier: object, now: object, where: str = "") -> Iterator[str]:
    """What differs, in words, as "inputs 1 size_bytes: 10 then, 12 now"."""
    if isinstance(earlier, Mapping) and isinstance(now, Mapping):
        for name in dict.fromkeys([*earlier, *now]):
            yield from _differences(earlier.get(name), now.get(name), f"{where} {name}".strip())
    elif isinstance(earlier, list) and isinstance(now, list) and len(earlier) == len(now):
        for number, pair in enumerate(zip(earlier, now, strict=True), 1):
            yield from _differences(*pair, f"{where} {number}")
    elif isinstance(earlier, list) and isinstance(now, list):
        yield f"{where}: {len(earlier)} then, {len(now)} now"
    elif earlier != now:
        yield f"{where}: {earlier!r} then, {now!r} now"
