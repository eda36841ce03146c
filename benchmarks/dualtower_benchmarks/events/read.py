"""Which events a command asks for, out of the shipped scenarios `events` and `soak`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from dualtower.config import build
from dualtower.errors import ConfigError
from dualtower_benchmarks.events.case import EventCase
from dualtower_benchmarks.scenario.scenario import Scenario, read_scenario

__all__ = ["events_scenario"]

_QUICK: dict[str, dict[str, Any]] = {
    "swap": {"measured_s": 14.0, "swaps": 2, "warmup_s": 1.0, "capacity_s": 1.0},
    "cold_start": {"starts": 1},
    "first_request": {"rounds": 1},
    "replica_lost": {"measured_s": 8.0, "down_s": 1.0, "warmup_s": 1.0, "capacity_s": 1.0},
    "overload": {"measured_s": 2.0, "recovery_s": 3.0, "warmup_s": 0.5, "capacity_s": 2.0},
    "soak": {"measured_s": 30.0, "warmup_s": 2.0, "capacity_s": 1.0},
}


def events_scenario(
    kinds: Sequence[str],
    *,
    quick: bool = False,
    changed: Sequence[tuple[str, str, Any]] = (),
    overrides: Sequence[str] = (),
) -> Scenario:
    """The events of these kinds; all but the soak where none is named.

    Args:
        quick: short loads.
        changed: section, key and value, for every event that takes the key.
        overrides: of the settings.

    Raises:
        ConfigError: a key is of none of the events, or a value cannot be.
    """
    events = read_scenario("events", overrides=overrides)
    cases: list[EventCase] = list(events.parts["event"])  # type: ignore[arg-type]
    if "soak" in kinds:
        cases += read_scenario("soak", overrides=overrides).parts["event"]  # type: ignore[arg-type]
    cases = [case for case in cases if not kinds or case.kind in kinds]
    if quick:
        cases = [_with(case, _QUICK[case.kind]) for case in cases]
    for _, key, value in changed:
        takers = [case for case in cases if key in case.takes]
        if not takers:
            names = sorted({name for case in cases for name in case.takes} - {"kind"})
            raise ConfigError(f"no event here takes {key!r}; they take {', '.join(names)}")
        cases = [_with(case, {key: value}) if case in takers else case for case in cases]
    return dataclasses.replace(events, parts={"event": tuple(cases)})


def _with(case: EventCase, values: dict[str, Any]) -> EventCase:
    names = ", ".join(f"event.{name}" for name in values)
    given = {**case.as_json(), **values}
    if values.get("rate_qps"):  # in place of the share that the scenario has
        given["rate_share"] = 0.0
    return build(EventCase, given, names)
