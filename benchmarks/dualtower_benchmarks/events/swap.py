"""A version swap under load: the next version appears in the folders, the server does the rest.

    published ─ the server looks ─► noticed: it loads ─► available ─► the old one ends: ended
                                    └──────────── "during" ─────────────────────────┘

The new version holds the same files under another number, so what changes is the swap alone. Every
second change takes the new version away again, and the one before comes back. All three models of
the bundle change at once, as they do for users.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower.bundle import MODELS, Bundle
from dualtower_benchmarks.events.bands import bands_of
from dualtower_benchmarks.events.linked import linked_bundle, linked_tree
from dualtower_benchmarks.events.loads import Beside, rate_of
from dualtower_benchmarks.events.measured import Event, Measured
from dualtower_benchmarks.events.states import LOOKS_S, Seen, States
from dualtower_benchmarks.events.who import answers_by, plain, who_answered
from dualtower_benchmarks.events.windows import Window, part_of
from dualtower_benchmarks.load.process import LoadProcess
from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.scenario.jobs import job_of, serving

__all__ = ["Change", "measure", "swap_result"]

_FIRST_AT, _LAST_AT = 0.2, 0.9  # of the load: quiet before, and after
_CHANGE_S = 120.0  # a model of a few hundred megabytes on a slow disk
_GONE = ("END", "UNLOADING")


@dataclass(frozen=True)
class Change:
    """One change of version; instants in nanoseconds of the clock of the requests.

    Args:
        is_back: the version before comes back, since the new one was taken away.
        published_ns: the folders changed.
        noticed_ns: the last look at which the server did not say of any model that it loads.
        available_ns: it said so of all models that they answer, or None.
        ended_ns: and that none of the old version is left, or None.
    """

    old: int
    new: int
    is_back: bool
    published_ns: int
    noticed_ns: int | None
    available_ns: int | None
    ended_ns: int | None


def measure(event: Event) -> Measured:
    """Swaps `case.swaps` times while an open loop runs."""
    case, place = event.case, event.place
    event.own_server(what="changes the files that a server reads")
    with event.folder() as folder:
        bundle = linked_bundle(place.bundle, folder / "bundle")
        plan = _plan(bundle.version, case.swaps)
        for version in {new for old, new, is_back in plan if not is_back}:
            _stage(bundle, folder, version)
        with serving(case, bundle, address=None, rest_address=None) as engine:
            event.keep(engine)
            job = {**job_of(case, bundle, place.settings, engine), "who": True}
            with LoadProcess(job) as process, States(engine.address, MODELS) as states:
                rate_qps, capacity_qps = rate_of(case, process)
                load = Beside(process, case.load(rate_qps, seed=event.seed))
                changes = []
                for number, (old, new, is_back) in enumerate(plan):
                    share = _FIRST_AT + (_LAST_AT - _FIRST_AT) * number / case.swaps
                    load.until(case.warmup_s + share * case.measured_s)
                    changes.append(_change(states, bundle, folder, old, new, is_back=is_back))
                seen = load.ended().samples
    result = swap_result(
        seen,
        changes,
        warmup_s=case.warmup_s,
        slo_p99_ms=case.slo_p99_ms,
        confidence=place.settings.confidence,
        seed=place.settings.seed,
    )
    return Measured(
        result,
        loads=[seen],
        engine=engine.engine,
        capacity_qps=capacity_qps,
        offered_qps=rate_qps,
        void=_void(seen, changes) or result["whole"]["void"],
    )


def swap_result(
    seen: Samples,
    changes: Sequence[Change],
    *,
    warmup_s: float,
    slo_p99_ms: float,
    confidence: float,
    seed: int,
) -> dict[str, Any]:
    """What a load met before, during and after the changes, and who answered it.

    Args:
        seen: with who answered in the status, see `who`.
    """
    samples, who = plain(seen), who_answered(seen)
    begin_ns, end_ns = int(samples.due_ns.min()), int(samples.due_ns.max()) + 1
    warm_ns = begin_ns + int(warmup_s * 1e9)
    during: list[Window] = [
        (one.noticed_ns, one.ended_ns)
        for one in changes
        if one.noticed_ns is not None and one.ended_ns is not None
    ]
    windows = {
        "whole": [(warm_ns, end_ns)],
        "before": [(warm_ns, during[0][0] if during else end_ns)],
        "during": during,
        "after": [
            (ended, following)
            for (_, ended), following in zip(
                during, [*(noticed for noticed, _ in during[1:]), end_ns], strict=False
            )
        ],
    }
    parts = {
        name: part_of(
            samples, inside, slo_p99_ms=slo_p99_ms, confidence=confidence, seed=seed
        )
        for name, inside in windows.items()
    }  # fmt: skip
    until = [*(one.published_ns for one in changes[1:]), end_ns]
    return {
        **parts,
        "answers": answers_by(seen),
        "changes": [
            _change_row(one, samples, who, begin_ns=begin_ns, until_ns=after)
            for one, after in zip(changes, until, strict=True)
        ],
        "resolution_s": LOOKS_S,
        "bands": bands_of(samples),
    }


def _change_row(
    change: Change, samples: Samples, who: npt.NDArray[np.str_], *, begin_ns: int, until_ns: int
) -> dict[str, Any]:
    inside = (samples.due_ns >= change.published_ns) & (samples.due_ns < until_ns)
    first_new = samples.done_ns[inside & (who == str(change.new))]
    last_old = samples.done_ns[inside & (who == str(change.old))]

    def after_s(instant_ns: int | np.int64 | None) -> float | None:
        return None if instant_ns is None else (int(instant_ns) - change.published_ns) / 1e9

    return {
        "from": change.old,
        "to": change.new,
        "is_back": change.is_back,
        "published_s": (change.published_ns - begin_ns) / 1e9,
        "until_noticed_s": after_s(change.noticed_ns),
        "until_available_s": after_s(change.available_ns),
        "until_ended_s": after_s(change.ended_ns),
        "until_first_new_s": after_s(first_new.min() if len(first_new) else None),
        "until_last_old_s": after_s(last_old.max() if len(last_old) else None),
    }


def _plan(version: int, swaps: int) -> list[tuple[int, int, bool]]:
    """Old, new and whether it is a way back, of each change: 1 to 2, 2 to 1, 1 to 3, …"""
    return [
        (version + number // 2 + 1, version, True)
        if number % 2
        else (version, version + number // 2 + 1, False)
        for number in range(swaps)
    ]


def _stage(bundle: Bundle, folder: Path, version: int) -> None:
    """The files of a version that is published by a rename."""
    for model in MODELS:
        linked_tree(
            bundle.model_path(model) / str(bundle.version), folder / f"{version}" / model
        )  # fmt: skip


def _change(
    states: States, bundle: Bundle, folder: Path, old: int, new: int, *, is_back: bool
) -> Change:
    published_ns = time.monotonic_ns()
    for model in MODELS:
        if is_back:
            (bundle.model_path(model) / str(old)).rename(folder / f"{old}" / model)
        else:
            (folder / f"{new}" / model).rename(bundle.model_path(model) / str(new))

    def noticed(seen: Seen) -> bool:
        return any(seen[m].get(new, "END") not in _GONE for m in MODELS)

    def available(seen: Seen) -> bool:
        return all(seen[m].get(new) == "AVAILABLE" for m in MODELS)

    def ended(seen: Seen) -> bool:
        return available(seen) and all(seen[m].get(old, "END") == "END" for m in MODELS)

    noticed_ns, available_ns, ended_ns = (
        states.first(is_so, timeout_s=_CHANGE_S, from_ns=published_ns)
        for is_so in (noticed, available, ended)
    )
    if noticed_ns is not None:  # it began between two looks
        noticed_ns = max(published_ns, states.look_before(noticed_ns))
    if is_back:
        shutil.rmtree(folder / f"{old}")
    return Change(old, new, is_back, published_ns, noticed_ns, available_ns, ended_ns)


def _void(seen: Samples, changes: Sequence[Change]) -> str | None:
    """Why the swaps do not lie within the load; None: they do."""
    for number, one in enumerate(changes, start=1):
        if one.ended_ns is None:
            return f"change {number} was not over after {_CHANGE_S:g} s; the server's log says more"
        if one.ended_ns > int(seen.due_ns.max()):
            return (
                f"the load ended before change {number} of {len(changes)} was over; give a longer "
                "measured_s, or fewer swaps"
            )
    return None
