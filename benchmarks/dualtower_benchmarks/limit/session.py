"""All searches for a limit that a scenario asks for, probe by probe; a row each.

A run that was killed goes on with the next probe. The requests of all probes lie beside the
results, in `<stem>.limits.parquet`, by the probe's `point`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dualtower.progress import Bar
from dualtower_benchmarks.devices.against import hold_devices
from dualtower_benchmarks.limit.case import LimitCase
from dualtower_benchmarks.limit.find import find_limit
from dualtower_benchmarks.load.process import LoadProcess
from dualtower_benchmarks.load.raw_store import write_raw
from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.numerals import number
from dualtower_benchmarks.scenario.expected import load_s
from dualtower_benchmarks.scenario.jobs import SERVED, Engine
from dualtower_benchmarks.scenario.loaded import LoadedSession
from dualtower_benchmarks.scenario.store import PointStore

__all__ = ["LimitSession", "summary_of"]


@dataclass
class LimitSession(LoadedSession[LimitCase]):
    """The searches of a scenario. `raw` has the requests of all probes."""

    def document(self) -> dict[str, Any]:
        """What goes into the results as `limits`; the requests are written beside them."""
        path = self.place.out.with_name(f"{self.place.out.stem}.limits.parquet")
        write_raw(path, self.raw)
        return {
            "rows": self.rows,
            "summary": summary_of(self.rows),
            "absent": list(self.absent.values()),
            "raw_file": path.name,
        }

    def measured(
        self,
        repeat: int,
        case: LimitCase,
        process: LoadProcess,
        engine: Engine | None,
        progress: Bar,
        again: Callable[[], None],
    ) -> tuple[list[dict[str, Any]], list[Samples]]:
        settings, left_s = self.place.settings, load_s(case)

        def note(probe: Mapping[str, Any]) -> None:
            nonlocal left_s
            again()
            took_s = min(left_s, round(case.warmup_s + probe["measured_s"]))
            left_s -= took_s
            said = f"{number(probe['offered_qps'])}/s {probe['verdict']}"
            progress.advance(took_s, note=f"{case.driver} {case.model} {said}")

        found = find_limit(
            case,
            process.run,
            seed=settings.seed + 1000 * repeat,
            confidence=settings.confidence,
            attempts=settings.attempts,
            kept=self._probes(repeat, case.key),
            note=note,
        )
        progress.skip(left_s)
        row = {
            "key": case.key,
            "repeat": repeat,
            **case.as_json(),
            "engine": engine.engine if engine and case.driver in SERVED else "",
            "device_found": process.facts.get("device", "unknown"),
            "device_name": process.facts.get("device_name"),
            **found,
            "facts": dict(process.facts),
        }
        hold_devices([row])
        return [row], []

    def keep(
        self, repeat: int, case: LimitCase, rows: Sequence[dict[str, Any]], raw: Sequence[Samples]
    ) -> None:
        (row,), probes = rows, self._probes(repeat, case.key)
        found = [{"point": len(self.raw) + n, **one} for n, one in enumerate(row["probes"])]
        self.rows.append({**row, "probes": found})
        self.raw += [probes.samples(n) for n in range(1, len(found) + 1)]

    def _probes(self, repeat: int, key: str) -> _Probes:
        return _Probes(self.place.store, repeat, key)


def summary_of(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The limit of each case over its repeats.

    Returns:
        of each key `limit_qps`: the median of the repeats with the smallest and the largest; of one
        repeat alone its interval, from what held to what did not. None where a repeat has none.
    """
    by_key: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_key.setdefault(row["key"], []).append(row)
    return [
        {
            "key": key,
            "limit_qps": _spread(found),
            "repeats": len(found),
            "probes": sum(len(row["probes"]) for row in found),
            "requests": sum(probe["n"] for row in found for probe in row["probes"]),
        }
        for key, found in by_key.items()
    ]


def _spread(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None] | None:
    limits = [row["limit_qps"] for row in rows]
    if any(limit is None for limit in limits):
        return None
    if len(rows) == 1:
        ends = [end for end in (rows[0]["broke_qps"], rows[0]["void_qps"]) if end is not None]
        return {"value": limits[0], "low": limits[0], "high": min(ends, default=None)}
    return {"value": statistics.median_low(limits), "low": min(limits), "high": max(limits)}


@dataclass(frozen=True)
class _Probes:
    """Probes of one search in the store of the run."""

    store: PointStore
    repeat: int
    key: str

    def read(self, number: int) -> dict[str, Any] | None:
        found = self.store.read(self.repeat, f"{self.key}-{number}")
        return None if found is None else found[0][0]

    def samples(self, number: int) -> Samples:
        found = self.store.read(self.repeat, f"{self.key}-{number}")
        assert found is not None
        return found[1][0]

    def write(self, number: int, probe: Mapping[str, Any], samples: Samples) -> None:
        self.store.write(self.repeat, f"{self.key}-{number}", [dict(probe)], [samples])
