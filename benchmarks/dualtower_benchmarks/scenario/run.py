"""Runs a scenario: repeats outermost, so that what the machine does in between meets all points.

Points are measured as all that loads a subject is (`loaded`), other tables by the sessions of
their parts. Each case is kept as soon as it is measured (`store`); a killed run goes on with the
next one.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dualtower.bundle import Bundle
from dualtower.errors import BundleMismatch, UnavailableError, UsageError
from dualtower.files import write_text
from dualtower.progress import Bar, bar
from dualtower_benchmarks.devices.against import against_as_json, hold_devices
from dualtower_benchmarks.devices.copies import copies_of
from dualtower_benchmarks.devices.here import Devices
from dualtower_benchmarks.devices.watched import window_of, with_found
from dualtower_benchmarks.load.process import LoadProcess
from dualtower_benchmarks.load.raw_store import write_raw
from dualtower_benchmarks.load.run import LoadRun
from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.machine import cpu_words, machine_facts
from dualtower_benchmarks.pace.log import PaceLog
from dualtower_benchmarks.pace.summary import pace_of
from dualtower_benchmarks.scenario.all_variants import of_bundle
from dualtower_benchmarks.scenario.case import Case
from dualtower_benchmarks.scenario.expected import load_s
from dualtower_benchmarks.scenario.jobs import SERVED, Engine
from dualtower_benchmarks.scenario.loaded import LoadedSession
from dualtower_benchmarks.scenario.part import Place
from dualtower_benchmarks.scenario.parts import PARTS
from dualtower_benchmarks.scenario.rows import row_of
from dualtower_benchmarks.scenario.scenario import Scenario
from dualtower_benchmarks.scenario.store import PointStore
from dualtower_benchmarks.stats.noise import noise_of

__all__ = ["SCHEMA", "run_scenario"]

SCHEMA = 2


def run_scenario(
    scenario: Scenario,
    bundle_path: Path | None,
    *,
    out: Path,
    address: str | None = None,
    rest_address: str | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Measures all cases of a scenario and writes `out`, with every request beside it.

    Args:
        bundle_path: what is measured; its catalogue gives the texts. None where nothing of the
            scenario needs one.
        out: the JSON file; raw data goes to `<stem>.samples.parquet` beside it.
        address, rest_address: of a running server; None starts one for each group of cases.
        command: the command line, for whoever wants to run it again.

    Returns:
        the document that was written.

    Raises:
        BundleMismatch: the bundle changed while it was measured.
        UnavailableError: something that a case needs is not there.
        UsageError: no bundle was given to a scenario that needs one.
    """
    bundle = None if bundle_path is None else Bundle.open(bundle_path)
    parts = [part for part in PARTS if part.table in scenario.parts]
    if bundle is None and (scenario.cases or any(part.needs_bundle for part in parts)):
        raise UsageError(
            f"{scenario.name} measures a bundle: dualtower bench run {scenario.name} BUNDLE"
        )
    scenario = scenario if bundle is None else of_bundle(scenario, bundle)
    if len(parts) == 1 and not scenario.cases:
        parts[0].hold()  # before anything is written, where there is nothing else
    machine = machine_facts()
    created = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    store = PointStore(
        out,
        {
            "scenario": scenario.as_json(),
            "fingerprint": bundle and bundle.fingerprint,
            "address": [address, rest_address],
            "cpu": cpu_words(machine),
        },
        git_commit=machine["git_commit"],
        hold=lambda: _hold_same(bundle),
    )
    begin_ns = time.monotonic_ns()
    devices = Devices.of_this_machine(scenario.settings.price_per_hour)
    pace = PaceLog(store)
    place = Place(scenario.settings, bundle, store, pace, out, devices, address, rest_address)
    run = _Points(scenario.cases, place)
    sessions = {part.section: part.session(scenario.parts[part.table], place) for part in parts}
    each = sum(map(load_s, scenario.cases)) + sum(map(load_s, scenario.entries))
    total = each * scenario.settings.repeats
    with bar(f"{scenario.name}, seconds of load", total, rate_over_s=3600.0) as progress:
        for repeat in range(scenario.settings.repeats):
            run.repeat(repeat, progress)
            for session in sessions.values():
                session.repeat(repeat, progress)
    _hold_same(bundle)
    samples_path = out.with_name(f"{out.stem}.samples.parquet")
    document = {
        "schema": SCHEMA,
        "scenario": scenario.as_json(),
        "created": created,
        "command": command,
        "git_commits": store.git_commits,
        "bundle": bundle and {"fingerprint": bundle.fingerprint, "version": bundle.version},
        "machine": machine,
        "devices": devices.facts(),
        "servers": [*run.servers, *(one for part in sessions.values() for one in part.servers)],
        "points": [{"point": number, **row} for number, row in enumerate(run.rows)],
        "absent": list(run.absent.values()),
        "raw_file": samples_path.name,
        "noise": noise_of(run.rows),
        "pace": pace_of(pace.takes()),
        **{section: session.document() for section, session in sessions.items()},
        "wall_s": (time.monotonic_ns() - begin_ns) / 1e9,
    }
    document["copies"] = [] if bundle_path is None else copies_of(run.rows, bundle_path)
    document["gpu_against_cpu"] = against_as_json(document)
    write_raw(samples_path, run.raw)
    write_text(out, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    store.remove()
    return document


@dataclass
class _Points(LoadedSession[Case]):
    """The points of the sweeps."""

    capacity_qps: dict[str, float] = field(default_factory=dict)  # by subject, of closed loops

    def repeat(self, repeat: int, progress: Bar) -> None:
        self.capacity_qps.clear()
        super().repeat(repeat, progress)

    def measured(
        self,
        repeat: int,
        case: Case,
        process: LoadProcess,
        engine: Engine | None,
        progress: Bar,
        again: Callable[[], None],
    ) -> tuple[list[dict[str, Any]], list[Samples]]:
        """The rows of a case: a void one is followed by a further attempt."""
        settings, rows, raw = self.place.settings, [], []
        rate_qps = self._rate_qps(case)
        for attempt in range(settings.attempts):
            if attempt:
                again()
            load = case.load(rate_qps=rate_qps, seed=settings.seed + 1000 * repeat + attempt)
            with self.place.devices.watch(
                server_pid=engine.process_id if engine else None, generator_pid=process.pid
            ) as watched:
                run: LoadRun = process.run(load)
            row, samples = row_of(
                case,
                run,
                process.facts,
                repeat=repeat,
                engine=engine.engine if engine else "",
                offered_qps=_offered_qps(run.samples, load.duration_s),
                confidence=settings.confidence,
                seed=settings.seed,
            )
            found = watched.fields(row, window_of(samples), served=case.driver in SERVED)
            row = with_found(row, found)
            hold_devices([row])
            rows.append({**row, "attempt": attempt})
            raw.append(run.samples.with_warmup(row["warmup_left_out_s"]))
            if row["void"] is None:
                break
        progress.advance(load_s(case), note=case.words)
        return rows, raw

    def _rate_qps(self, case: Case) -> float | None:
        if not case.rate_share:
            return case.rate_qps or None
        best = self.capacity_qps.get(case.subject_key)
        if not best:
            raise UnavailableError(
                f"{case.words}: rate_share is a share of a closed loop's rate, and none of the "
                "same subject was measured before it; put one in front, or give rate_qps"
            )
        return best * case.rate_share

    def keep(
        self, repeat: int, case: Case, rows: Sequence[dict[str, Any]], raw: Sequence[Samples]
    ) -> None:
        for row in rows:
            if row["loop"] == "closed":
                best = self.capacity_qps.get(row["subject"], 0.0)
                self.capacity_qps[row["subject"]] = max(best, row["achieved_qps"])
        self.rows += rows
        self.raw += raw


def _hold_same(bundle: Bundle | None) -> None:
    """Raises BundleMismatch where another bundle lies in the place of the one that was opened."""
    if bundle and (found := Bundle.open(bundle.path).fingerprint) != bundle.fingerprint:
        raise BundleMismatch(
            expected=bundle.fingerprint,
            found=found,
            where=f"{bundle.path} while it was measured",
            repair="put the bundle back and run the same command again, which keeps the points "
            "from before; or measure the new one with another --out",
        )


def _offered_qps(samples: Samples, duration_s: float) -> float:
    return len(samples) / duration_s
