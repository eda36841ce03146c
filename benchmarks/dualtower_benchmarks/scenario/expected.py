"""How long a scenario takes: the seconds of its load, and what it takes to start what is loaded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dualtower_benchmarks.events.case import EventCase
from dualtower_benchmarks.index.case import IndexCase
from dualtower_benchmarks.index.expected import preparation_s
from dualtower_benchmarks.machine import usable_cores
from dualtower_benchmarks.scenario.jobs import process_key, server_key
from dualtower_benchmarks.scenario.part import PartCase
from dualtower_benchmarks.scenario.subject import Subject

if TYPE_CHECKING:
    from dualtower_benchmarks.scenario.scenario import Scenario

__all__ = ["expected_s", "load_s"]

# On two idle cores with a warm disk. TensorFlow's import and the load of a model are most of it.
_SERVER_S = 17.0
_PROCESS_S = {
    "grpc": 2.0,
    "rest": 2.0,
    "clients": 2.0,
    "saved_model": 12.0,
    "litert": 2.0,
    "onnxruntime": 5.0,
    "sentence_transformers": 15.0,
    "index": 2.0,
}
_XLA_S = 20.0  # compiling
_OPEN_S = 0.5  # of a further driver in the same process
_PACE_S = 0.3  # to take the machine's own pace, once a point


def load_s(case: PartCase) -> int:
    """Whole seconds of load of one case, its warm-up with it; at least one."""
    return max(1, math.ceil(case.load_s))


def expected_s(scenario: Scenario) -> float:
    """Seconds of all repeats: the load, a start of each server and of each process that loads, and
    what an event or an index needs of its own.
    """
    cases = [
        case
        for case in (*scenario.cases, *scenario.entries)
        if isinstance(case, Subject) and not isinstance(case, EventCase)  # with its own servers
    ]
    servers = {key for case in cases if (key := server_key(case)) is not None}
    subjects = {case.subject_key: case for case in cases}.values()
    each = {process_key(case): case for case in cases}.values()
    processes = sum(_PROCESS_S.get(case.driver, 2.0) for case in each)
    processes += sum(_XLA_S * case.xla + _OPEN_S for case in subjects)
    starts = len(servers) * _SERVER_S + processes + len(scenario.cases) * _PACE_S
    starts += sum(one.starts_s for one in scenario.entries if isinstance(one, EventCase))
    searches = [one for one in scenario.entries if isinstance(one, IndexCase)]
    prepared_s = preparation_s(searches, cores=usable_cores() or 1)  # kept for further repeats
    return scenario.expected_s + starts * scenario.settings.repeats + prepared_s
