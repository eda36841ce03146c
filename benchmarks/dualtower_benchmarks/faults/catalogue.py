"""All faults, in the order of the table, and a run of them as one document."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from functools import partial
from typing import Any

from dualtower.errors import UnavailableError, UsageError
from dualtower.progress import step
from dualtower_benchmarks.faults import answers, callers, down, slow, swaps
from dualtower_benchmarks.faults.judge import HANG_MS, complaints_of
from dualtower_benchmarks.faults.kinds import KINDS, Kind, Load
from dualtower_benchmarks.faults.load import fire
from dualtower_benchmarks.faults.question import SUM
from dualtower_benchmarks.faults.row import Row
from dualtower_benchmarks.faults.servers import ServerProcess
from dualtower_benchmarks.faults.sizes import Sizes
from dualtower_benchmarks.machine import machine_facts

__all__ = ["FAULTS", "FaultBench", "measure_faults"]

Case = Callable[[Kind, Sizes], Sequence[Row]]

_BOTH = ("threads", "asyncio")
_SWAP = "swap"  # needs the embedded server, which is started once

FAULTS: dict[str, tuple[Case | None, Sequence[str]]] = {
    "killed": (down.killed_and_restarted, _BOTH),
    "replica-killed": (down.one_of_two_killed, _BOTH),
    "replica-slow": (slow.one_of_three_slow, _BOTH),
    "dns": (down.dns_change, _BOTH),
    "half-open": (down.half_open, _BOTH),
    "storm": (slow.deadline_storm, _BOTH),
    _SWAP: (None, _BOTH),
    "pair-swap": (swaps.pair_swap, _BOTH),
    "pair-replaced": (swaps.pair_replaced, _BOTH),
    "oversized": (answers.oversized, _BOTH),
    "garbage": (answers.garbage, _BOTH),
    "tls": (answers.wrong_tls, _BOTH),
    "cancelled": (callers.cancelled, ("asyncio",)),
    "closed": (callers.closed, _BOTH),
    "fork": (callers.forked, _BOTH),
    "thousand": (callers.thousand_tasks, ("asyncio",)),
    "threads": (callers.twenty_four_threads, ("threads",)),
}


@dataclass(frozen=True)
class FaultBench:
    """Which faults, and how large.

    Attributes:
        only: keys of `FAULTS`; empty: all.
        sizes: of each.
    """

    only: Sequence[str] = ()
    sizes: Sizes = field(default_factory=Sizes)

    def __post_init__(self) -> None:
        for name in self.only:
            if name not in FAULTS:
                near = get_close_matches(name, FAULTS, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise UsageError(f"no fault {name!r}, only {', '.join(FAULTS)}{hint}")


def measure_faults(bench: FaultBench) -> dict[str, Any]:
    """The document of a run: settings, machine, `rows`, and `complaints`, which should be none.

    A fault that cannot be made has no rows, and a complaint that says why.

    Raises:
        UnavailableError: no server can be had at all.
    """
    machine = machine_facts()
    names = list(bench.only or FAULTS)
    rows: list[Row] = []
    not_made: list[str] = []
    with _versioned(_SWAP in names, bench.sizes) as cases:
        _warm_up()
        for name in names:
            with step(name):
                _, kinds = FAULTS[name]
                for kind in kinds:
                    try:
                        rows += cases[name](KINDS[kind], bench.sizes)
                    except UnavailableError as error:
                        not_made.append(f"{name}, {kind}: {error}")
    return {
        "settings": {**asdict(bench), "hang_ms": HANG_MS},
        "machine": machine,
        "rows": [row.as_json() for row in rows],
        "complaints": [*not_made, *(said for row in rows for said in complaints_of(row))],
    }


@contextmanager
def _versioned(is_wanted: bool, sizes: Sizes) -> Iterator[dict[str, Case]]:
    """The cases, that of the embedded server with one that begins to start."""
    cases = {name: case for name, (case, _) in FAULTS.items() if case is not None}
    if not is_wanted:
        yield cases
        return
    server = swaps.VersionedServer(versions=1 + len(_BOTH) * sizes.rounds)
    try:
        yield {
            **cases,
            _SWAP: lambda kind, sizes: swaps.version_swap(kind, sizes, server),
        }
    finally:
        server.close()


def _warm_up() -> None:
    """What gRPC opens once in a process, for good, is no leak."""
    with ServerProcess().wait() as server:
        load = Load(callers=2, timeout_s=5.0, calls=2)
        for kind in KINDS.values():
            fire("", kind, partial(kind.serving, server.address), SUM, load, servers="")
