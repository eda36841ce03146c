"""Successive halving: short searches for all settings, longer ones for the best of them.

    round 1  all ─► the best, and the present setting ─► round 2 ─► … ─► last round, in turns

(Jamieson and Talwalkar 2016, AISTATS 51, 240–248.) A round is a scenario of its own with its own
results file, so that a killed run goes on where it was. The last one has repeats: the settings take
turns, and what the machine does in between meets all of them. It alone decides, since the figures
that a setting was chosen by are too good.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dualtower.bundle import Bundle
from dualtower.files import write_text
from dualtower.progress import say
from dualtower_benchmarks.limit.case import LimitCase
from dualtower_benchmarks.numerals import number
from dualtower_benchmarks.scenario.expected import expected_s
from dualtower_benchmarks.scenario.run import run_scenario
from dualtower_benchmarks.scenario.scenario import Scenario
from dualtower_benchmarks.scenario.settings import ScenarioSettings
from dualtower_benchmarks.schema.read import read_document
from dualtower_benchmarks.tune.candidates import OFF, PRESENT, Candidate

__all__ = ["QUICK", "ROUNDS", "Round", "Tried", "expected_rounds_s", "run_rounds"]


@dataclass(frozen=True)
class Round:
    """How a round is measured.

    Args:
        most: settings in it, the present one among them.
        probe_s, resolution: of the searches.
        repeats: of the whole round, the settings in turns.
    """

    most: int
    probe_s: float
    resolution: float
    repeats: int = 1


ROUNDS = (Round(99, 2.0, 0.2), Round(5, 4.0, 0.1), Round(3, 5.0, 0.05, repeats=4))
QUICK = (Round(99, 1.0, 0.3), Round(2, 2.0, 0.1, repeats=4))


@dataclass(frozen=True)
class Tried:
    """A setting and what was found of it.

    Args:
        rounds: rows of `limits` by round, a repeat each.
    """

    candidate: Candidate
    rounds: tuple[tuple[Mapping[str, Any], ...], ...] = ()

    @property
    def limits_qps(self) -> list[float | None]:
        """Of its last round."""
        return [row["limit_qps"] for row in self.rounds[-1]] if self.rounds else []

    @property
    def middle_qps(self) -> float:
        return statistics.median_low([limit or 0.0 for limit in self.limits_qps] or [0.0])


def scenario_of(
    candidates: Sequence[Candidate], number_: int, asked: Round, case: LimitCase, work: Path
) -> Scenario:
    """Searches of one round, a setting each.

    Args:
        case: what is asked of every setting: subject, SLO, load.
        work: where the settings' batching.config files lie.
    """
    fine = replace(case, probe_s=asked.probe_s, resolution=asked.resolution, votes=1,
                   longest_probe_s=max(case.longest_probe_s, asked.probe_s))  # fmt: skip
    cases = tuple(
        replace(
            fine,
            batching=_batching(one, work),
            flags=" ".join(filter(None, (case.flags, *one.flags))),
        )
        for one in candidates
    )
    settings = ScenarioSettings(title=f"Tuning, round {number_ + 1}", repeats=asked.repeats)
    return Scenario(f"tune-round-{number_ + 1}", settings, (), {"limit": cases})


def run_rounds(
    candidates: Sequence[Candidate],
    rounds: Sequence[Round],
    case: LimitCase,
    bundle_path: Path,
    work: Path,
    *,
    command: str,
) -> list[Tried]:
    """Measures all rounds; results files, requests and batching.config files stay in `work`.

    Args:
        candidates: the present setting first.

    Returns:
        all settings in the order given.
    """
    tried = {one.name: Tried(one) for one in candidates}
    left = list(candidates)
    for place, asked in enumerate(rounds):
        left = _best([tried[one.name] for one in left], asked.most)
        scenario = scenario_of(left, place, asked, case, work)
        for one in left:
            if one.batching not in (PRESENT, OFF):
                write_text(Path(_batching(one, work)), one.batching)
        say(f"▸ round {place + 1} of {len(rounds)}: {len(left)} settings, {asked.repeats} times")
        document = _measured(scenario, bundle_path, work / f"round-{place + 1}.json", command)
        rows = document["limits"]["rows"]
        for one, its in zip(left, scenario.parts["limit"], strict=True):
            found = tuple(row for row in rows if row["key"] == its.key)
            tried[one.name] = replace(tried[one.name], rounds=(*tried[one.name].rounds, found))
            say(f"  {one.name}: {', '.join(number(row['limit_qps']) for row in found)}/s")
    return list(tried.values())


def expected_rounds_s(
    candidates: Sequence[Candidate], rounds: Sequence[Round], case: LimitCase, work: Path
) -> float:
    """How long the rounds take, starts of servers with them."""
    return sum(
        expected_s(scenario_of(candidates[: one.most], place, one, case, work))
        for place, one in enumerate(rounds)
    )


def _best(tried: Sequence[Tried], most: int) -> list[Candidate]:
    """The present setting first, then the best of the round before."""
    first, *others = tried
    ranked = sorted(others, key=lambda one: -one.middle_qps)
    return [first.candidate, *(one.candidate for one in ranked[: most - 1])]


def _measured(scenario: Scenario, bundle_path: Path, out: Path, command: str) -> dict[str, Any]:
    """The results of a round, those of a run that was killed after it among them."""
    if out.exists():
        document = read_document(out)
        same = document.get("bundle", {}).get("fingerprint") == Bundle.open(bundle_path).fingerprint
        if same and document.get("scenario") == scenario.as_json():
            return document
    return run_scenario(scenario, bundle_path, out=out, command=command)


def _batching(candidate: Candidate, work: Path) -> str:
    if candidate.batching == PRESENT:
        return "bundle"
    if candidate.batching == OFF:
        return "off"
    name = "".join(letter if letter.isalnum() else "-" for letter in candidate.name)
    return str((work / f"{name}.batching.config").resolve())
