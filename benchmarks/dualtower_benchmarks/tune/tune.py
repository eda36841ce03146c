"""Tunes a server for an SLO: settings, rounds, a decision, a new bundle, the evidence."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtower.bundle import Bundle
from dualtower.errors import UsageError
from dualtower.files import make_folder, write_text
from dualtower.server_compute import AIMS, compute_for
from dualtower_benchmarks.limit.case import LimitCase
from dualtower_benchmarks.limit.verdict import GENERATOR
from dualtower_benchmarks.machine import machine_facts
from dualtower_benchmarks.tune.candidates import Candidate, candidates_of
from dualtower_benchmarks.tune.decide import Decision, decide
from dualtower_benchmarks.tune.rounds import Round, Tried, expected_rounds_s, run_rounds
from dualtower_benchmarks.tune.write import EVIDENCE, hold_whole, write_tuned
from dualtower_serving.bundle_flags import OwnFlags, own_flags

__all__ = ["Plan", "plan_of", "tune", "work_of"]

_OF_PROBE = (
    "limit_qps", "broke_qps", "void_qps", "why", "confirmed", "complete", "calibrated_qps",
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What will be tried.

    Args:
        left_out: settings for which the budget has no time.
        expected_s: of all rounds.
    """

    candidates: Sequence[Candidate]
    left_out: Sequence[Candidate]
    expected_s: float


def work_of(out: Path) -> Path:
    """Where the rounds' results lie, beside the new bundle."""
    return out.with_name(f"{out.name}.tune")


def plan_of(
    bundle: Bundle,
    case: LimitCase,
    rounds: Sequence[Round],
    out: Path,
    *,
    cores: int,
    budget_s: float | None = None,
) -> Plan:
    """The settings for which there is time, at least the present one and one more."""
    own = own_flags(bundle) or OwnFlags(compute_for(AIMS[0]).flags, batching=True)
    found = candidates_of(bundle, own, cores=cores, slo_ms=case.slo_ms)
    left = list(found)

    def needed_s() -> float:
        return expected_rounds_s(left, rounds, case, work_of(out))

    while budget_s is not None and len(left) > 2 and needed_s() > budget_s:
        left.pop()
    return Plan(left, found[len(left) :], needed_s())


def tune(
    bundle: Bundle,
    case: LimitCase,
    plan: Plan,
    rounds: Sequence[Round],
    out: Path,
    *,
    command: str,
) -> dict[str, Any]:
    """Measures, decides, and writes the new bundle where a setting is better than the present one.

    Args:
        case: what is asked of every setting.
        out: of the new bundle; nothing is there. The evidence also lies in `work_of(out)`.

    Returns:
        the evidence, see `write.EVIDENCE`.

    Raises:
        UsageError: `out` is there already.
        BundleError: the bundle is not whole.
    """
    if out.exists():
        raise UsageError(f"{out} exists already; remove it or choose another --out")
    hold_whole(bundle)  # before the minutes, not after them
    make_folder(work_of(out))
    begin_ns, machine = time.monotonic_ns(), machine_facts()
    created = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    tried = run_rounds(plan.candidates, rounds, case, bundle.path, work_of(out), command=command)
    decision = _decided(tried, rounds)
    evidence = {
        "kind": "tune",
        "created": created,
        "command": command,
        "machine": machine,
        "bundle": {"fingerprint": bundle.fingerprint, "version": bundle.version},
        "slo": case.as_json(),
        "rounds": [vars(one) for one in rounds],
        "candidates": [_as_json(one, place) for place, one in enumerate(tried)],
        "left_out": [one.name for one in plan.left_out],
        "picked": decision.picked,
        "changed": decision.changed,
        "verdict": f"{decision.words}.",
        "wall_s": (time.monotonic_ns() - begin_ns) / 1e9,
    }
    said = json.dumps(evidence, indent=1, ensure_ascii=False) + "\n"
    write_text(work_of(out) / EVIDENCE, said)
    if decision.changed:
        picked = next(one.candidate for one in tried if one.candidate.name == decision.picked)
        write_tuned(bundle, out, picked, evidence)
    return evidence


def _decided(tried: Sequence[Tried], rounds: Sequence[Round]) -> Decision:
    last = {one.candidate.name: one.limits_qps for one in tried if len(one.rounds) == len(rounds)}
    present = tried[0]
    return decide(
        present.candidate.name,
        last,
        resolution=rounds[-1].resolution,
        generator_bound=any(row["why"] == GENERATOR for row in present.rounds[-1]),
    )


def _as_json(tried: Tried, place: int) -> dict[str, Any]:
    one = tried.candidate
    return {
        "name": one.name,
        "present": one.present,
        "batching": one.batching,
        "flags": list(one.flags),
        "place": place,
        "round": len(tried.rounds) - 1,
        "limits_qps": tried.limits_qps,
        "rounds": [
            [
                {
                    **{name: row[name] for name in _OF_PROBE},
                    "probes": len(row["probes"]),
                    "requests": sum(probe["n"] for probe in row["probes"]),
                }
                for row in rows
            ]
            for rows in tried.rounds
        ],
    }
