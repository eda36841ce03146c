"""GPU against CPU: the same cases on both, and where one overtakes the other, out of their rows.

A ratio is rows a second on the GPU over those on the CPU, repeat by repeat. A cross-over lies
between two measured points and is interpolated there, straight in the logarithms of both axes;
beyond what was measured nothing is said.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dualtower.errors import UsageError
from dualtower_benchmarks.scenario.case import Case
from dualtower_benchmarks.scenario.subject import CPU, GPU

__all__ = [
    "AXES",
    "Crossover",
    "Match",
    "MixedDevices",
    "against_as_json",
    "crossover_text",
    "crossovers",
    "hold_devices",
    "matches",
]

Row = Mapping[str, Any]
AXES = {"batch_rows": "batch", "concurrency": "concurrency"}
_FIELDS = tuple(one.name for one in dataclasses.fields(Case) if one.name != "device")


class MixedDevices(UsageError):
    """A row says that it is of one device, and was computed on the other."""


@dataclass(frozen=True)
class Match:
    """A case that both devices ran.

    Args:
        case: its keys, without the device.
        ratios: a repeat each, GPU over CPU.
        n: answered requests behind both sides.
    """

    case: Mapping[str, Any]
    ratios: tuple[float, ...]
    n: int

    @property
    def ratio(self) -> float:
        """The median of the repeats."""
        return statistics.median(self.ratios)

    @property
    def interval(self) -> tuple[float, float] | None:
        """From the smallest to the largest repeat; None of one alone."""
        return (min(self.ratios), max(self.ratios)) if len(self.ratios) > 1 else None

    @property
    def decided(self) -> bool:
        """Whether all repeats agree who is faster, and there are several."""
        return self.interval is not None and (self.interval[0] > 1 or self.interval[1] < 1)


@dataclass(frozen=True)
class Crossover:
    """Where the faster device changes along one axis.

    Args:
        axis: a key of `AXES`.
        case: what is fixed.
        at: the place; None: it does not change within `measured`.
        between: the neighbouring measured places; None likewise.
        faster_before: the device below `at`, or everywhere.
        measured: the places.
        decided: whether all repeats on both sides agree.
    """

    axis: str
    case: Mapping[str, Any]
    at: float | None
    between: tuple[int, int] | None
    faster_before: str
    measured: tuple[int, ...]
    decided: bool


def hold_devices(rows: Iterable[Row]) -> None:
    """Holds that every row was computed where it says.

    Raises:
        MixedDevices: one was not; a server that does not tell is let through.
    """
    for row in rows:
        if row["device_found"] in (CPU, GPU) and row["device_found"] != row["device"]:
            raise MixedDevices(
                f"point {row.get('point', '?')} says {row['device']} and was computed on "
                f"{row['device_found']}; two devices are mixed up: measure it again"
            )


def matches(rows: Sequence[Row]) -> list[Match]:
    """Closed loops that both devices ran, void ones left out.

    Args:
        rows: points of a results document.

    Raises:
        MixedDevices: a row was computed elsewhere than it says.
    """
    hold_devices(rows)
    found: dict[str, dict[str, dict[int, Row]]] = {}
    for row in rows:
        device = _device(row)
        if row["loop"] == "closed" and not row["void"] and row["rows_per_s"] > 0 and device:
            sides = found.setdefault(_key(row, _FIELDS), {CPU: {}, GPU: {}})
            sides[device][row["repeat"]] = row
    return [
        _match(sides[CPU], sides[GPU])
        for sides in found.values()
        if sides[CPU].keys() & sides[GPU].keys()
    ]


def crossovers(found: Sequence[Match], axis: str) -> list[Crossover]:
    """Along one axis; a case that was measured at one place of it has none.

    Args:
        axis: batch_rows or concurrency.
    """
    if axis not in AXES:
        raise ValueError(f"axis is one of {', '.join(AXES)}, got {axis!r}")
    fixed = tuple(name for name in _FIELDS if name != axis)
    groups: dict[str, list[Match]] = {}
    for match in found:
        groups.setdefault(_key(match.case, fixed), []).append(match)
    return [
        crossing
        for group in groups.values()
        if len(group) > 1
        for crossing in _along(sorted(group, key=lambda match: int(match.case[axis])), axis, fixed)
    ]


def crossover_text(document: Mapping[str, Any]) -> str:
    """Sentences for the report: where the devices cross, or why nothing can be said."""
    found = matches(document["points"])
    if not found:
        return _without(document)
    crossings = [crossing for axis in AXES for crossing in crossovers(found, axis)]
    if not crossings:
        return "GPU and CPU were compared at one batch and one concurrency only."
    return " ".join(_sentence(crossing) for crossing in crossings)


def against_as_json(document: Mapping[str, Any]) -> dict[str, Any]:
    """Ratios and cross-overs as a results file has them."""
    found = matches(document["points"])
    return {
        "text": crossover_text(document),
        "matches": [
            {
                "case": dict(match.case), "ratio": match.ratio, "repeats": len(match.ratios),
                "low": match.interval[0] if match.interval else None,
                "high": match.interval[1] if match.interval else None, "n": match.n,
            }
            for match in found
        ],
        "crossovers": [
            {
                "axis": crossing.axis, "case": dict(crossing.case), "at": crossing.at,
                "between": crossing.between, "faster_before": crossing.faster_before,
                "measured": crossing.measured, "decided": crossing.decided,
            }
            for axis in AXES
            for crossing in crossovers(found, axis)
        ],
    }  # fmt: skip


def _along(group: Sequence[Match], axis: str, fixed: Sequence[str]) -> list[Crossover]:
    places = tuple(int(match.case[axis]) for match in group)
    case = {name: group[0].case[name] for name in fixed}
    crossings = []
    for left, right in itertools.pairwise(group):
        if (left.ratio > 1) == (right.ratio > 1):
            continue
        ends = int(left.case[axis]), int(right.case[axis])
        crossings.append(
            Crossover(
                axis, case, _between(ends, left.ratio, right.ratio), ends,
                GPU if left.ratio > 1 else CPU, places, left.decided and right.decided,
            )
        )  # fmt: skip
    if crossings:
        return crossings
    faster = GPU if group[0].ratio > 1 else CPU
    decided = all(match.decided for match in group)
    return [Crossover(axis, case, None, None, faster, places, decided)]


def _between(ends: tuple[int, int], left: float, right: float) -> float:
    share = -math.log(left) / (math.log(right) - math.log(left))
    low, high = math.log(ends[0]), math.log(ends[1])
    return math.exp(low + share * (high - low))


def _match(cpu: Mapping[int, Row], gpu: Mapping[int, Row]) -> Match:
    repeats = sorted(cpu.keys() & gpu.keys())
    first = cpu[repeats[0]]
    return Match(
        {name: first[name] for name in _FIELDS},
        tuple(gpu[repeat]["rows_per_s"] / cpu[repeat]["rows_per_s"] for repeat in repeats),
        sum(side[repeat]["n"] for side in (cpu, gpu) for repeat in repeats),
    )


def _device(row: Row) -> str | None:
    """Where it was computed; None: nobody says."""
    if row["device_found"] in (CPU, GPU):
        return str(row["device_found"])
    metered = row.get("device_metered")
    found = metered if metered in (None, CPU) else GPU  # a card's name and UUID
    return found if found == row["device"] else None


def _key(row: Mapping[str, Any], names: Sequence[str]) -> str:
    return json.dumps([row[name] for name in names])


def _without(document: Mapping[str, Any]) -> str:
    reasons = sorted({case["reason"] for case in document["absent"] if case["device"] == GPU})
    if reasons:
        return f"GPU against CPU: {'; '.join(reasons)}."
    if any(_device(row) == GPU for row in document["points"]):
        return "GPU against CPU: no case was measured on both."
    cards = document.get("devices", {}).get("cards")
    return f"GPU against CPU: {cards if isinstance(cards, str) else 'no case asked for a GPU'}."


def _sentence(crossing: Crossover) -> str:
    name = AXES[crossing.axis]
    other = "concurrency" if crossing.axis == "batch_rows" else "batch_rows"
    who = f"{crossing.case['model']} by {crossing.case['driver']}"
    where = f"{who} at {AXES[other]} {crossing.case[other]}"
    doubt = "" if crossing.decided else " (not all repeats agree, or there is one alone)"
    if crossing.at is None or crossing.between is None:
        span = f"{name} {crossing.measured[0]} to {crossing.measured[-1]}"
        return f"{where}: not crossed within {span}, the {crossing.faster_before} is faster{doubt}."
    after = CPU if crossing.faster_before == GPU else GPU
    low, high = crossing.between
    return (
        f"{where}: the {after} is faster from {name} {crossing.at:.3g} on, between the measured "
        f"{low} and {high}{doubt}."
    )
