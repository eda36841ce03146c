"""One life event before it is measured: which, of what, under which load.

swap            another version of the bundle's models is loaded, and the one before unloaded
cold_start      from the start of the process to the first right answer
first_request   the first requests after a load, with the bundle's warm-up file and without
replica_lost    one of two replicas is killed, and comes back
overload        more than the server can do, up to twice as much
soak            the same load for long, with the memory of the server
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar

from dualtower_benchmarks.load.load import Load
from dualtower_benchmarks.scenario.subject import CPU, Subject

__all__ = ["KINDS", "EventCase"]

_SUBJECT = (
    "kind", "driver", "model", "batch_rows", "tokens", "engine", "batching", "flags",
)  # fmt: skip
_LOAD = (
    "concurrency", "capacity_s", "connections", "max_in_flight", "measured_s", "warmup_s",
    "slo_p99_ms",
)  # fmt: skip
_RATE = ("rate_qps", "rate_share")
_TAKES = {
    "swap": (*_RATE, *_LOAD, "swaps"),
    "cold_start": ("starts", "cache"),
    "first_request": ("rounds", "requests", "steady_requests"),
    "replica_lost": (*_RATE, *_LOAD, "down_s"),
    "overload": (*_LOAD, "shares", "deadline_ms", "recovery_s", "goodput_floor"),
    "soak": (*_RATE, *_LOAD, "memory_floor_mb"),
}
KINDS = tuple(_TAKES)
CACHES = ("warm", "dropped")
# of a server with a BERT of MiniLM's size on two idle cores, to its first answer and to its end
_START_S = 13.0
# of servers, before and after the load; a start that the load goes through is in `load_s`
_STARTS = {"swap": 1, "replica_lost": 2, "overload": 1, "soak": 1}


@dataclass(frozen=True)
class EventCase(Subject):
    """A table [[event]] of a scenario; every key takes a value or a list of values.

    Args:
        kind: one of KINDS; it refuses what belongs to another.
        driver: grpc; replica_lost asks by `dualtower_clients`, as an application would.
        rate_qps: requests a second that are due; 0 where `rate_share` says it.
        rate_share: the same as a share of a closed loop just before, on the same server.
        concurrency: clients of that closed loop, and threads of the application of replica_lost.
        capacity_s: how long that closed loop lasts.
        connections, max_in_flight: of the open loop, see `Load`.
        measured_s: of the open loop after its warm-up; in overload of each share; in replica_lost
            twice the time that a start took is added, so that the replica is back in it.
        warmup_s: left out at the head.
        slo_p99_ms: what the p99 should stay below; the generator may lag 5 % of it, no more (in
            overload 5 % of the deadline).
        swaps: changes of version, every second one back to the version before.
        starts: of a cold start.
        cache: "warm", files as the start before left them; "dropped" drops the machine's page
            cache before each start, where that is permitted.
        rounds: of first_request: a server with and one without warm-up file each, in turns.
        requests: the first so many of a server, each shown.
        steady_requests: that follow them, for the steady p50.
        down_s: from the kill of a replica until it is started again.
        shares: of overload: loads as shares of the closed loop, parted by blanks, ascending.
        deadline_ms: of a request in overload; what is answered within it is goodput.
        recovery_s: at half the capacity, after the highest share.
        goodput_floor: goodput at the highest share, as a share of the best of the series, below
            which it is said to collapse.
        memory_floor_mb: what the server's memory has to grow by over a soak to be said to grow.
    """

    table: ClassVar[str] = "event"

    # nothing runs in process: these are no keys of the table, and no columns of its rows
    variant: str = field(default="", init=False)
    precision: str = field(default="float32", init=False)
    device: str = field(default=CPU, init=False)
    threads: int | None = field(default=None, init=False)
    xla: bool = field(default=False, init=False)

    kind: str = "swap"
    rate_qps: float = 0.0
    rate_share: float = 0.0
    concurrency: int = 4
    capacity_s: float = 4.0
    connections: int = 1
    max_in_flight: int = 1024
    measured_s: float = 30.0
    warmup_s: float = 2.0
    slo_p99_ms: float = 50.0
    swaps: int = 3
    starts: int = 5
    cache: str = "warm"
    rounds: int = 3
    requests: int = 10
    steady_requests: int = 200
    down_s: float = 3.0
    shares: str = "0.5 1 1.5 2"
    deadline_ms: float = 250.0
    recovery_s: float = 10.0
    goodput_floor: float = 0.8
    memory_floor_mb: float = 16.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.driver != "grpc":
            raise ValueError(f"events are asked over grpc, got the driver {self.driver!r}")
        self._hold_taken()
        for name in ("concurrency", "connections", "max_in_flight", "swaps", "starts",
                     "rounds", "requests"):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("capacity_s", "slo_p99_ms", "deadline_ms", "down_s", "recovery_s",
                     "memory_floor_mb"):  # fmt: skip
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.steady_requests < 6:
            raise ValueError(f"steady_requests must be 6 for a p50, got {self.steady_requests}")
        if self.cache not in CACHES:
            raise ValueError(f"cache is one of {', '.join(CACHES)}, got {self.cache!r}")
        if not 0 < self.goodput_floor <= 1:
            raise ValueError(f"goodput_floor must be in (0, 1], got {self.goodput_floor}")
        if self.rate_qps < 0 or not 0 <= self.rate_share <= 4:
            raise ValueError(
                f"rate_qps is positive and rate_share in (0, 4], got {self.rate_qps} and "
                f"{self.rate_share}"
            )
        if "rate_qps" in _TAKES[self.kind] and bool(self.rate_qps) == bool(self.rate_share):
            raise ValueError(f"{self.kind} takes one of rate_qps and rate_share")
        if self.kind == "overload" and not self.shares_of_capacity:
            raise ValueError("shares has none; give loads such as '0.5 1 1.5 2'")
        self.load(1.0, seed=0)  # holds the rest of it
        super().__post_init__()

    @property
    def takes(self) -> tuple[str, ...]:
        """Names of the fields that its kind has."""
        return (*_SUBJECT, *_TAKES[self.kind])

    def _hold_taken(self) -> None:
        strange = [
            f"{one.name} = {value!r}"
            for one in dataclasses.fields(self)
            if one.name not in self.takes and (value := getattr(self, one.name)) != one.default
        ]
        if strange:
            raise ValueError(
                f"{self.kind} does not take {', '.join(strange)}; it takes {', '.join(self.takes)}"
            )

    @property
    def shares_of_capacity(self) -> list[float]:
        """Of overload, ascending.

        Raises:
            ValueError: they are no ascending positive numbers.
        """
        try:
            found = [float(word) for word in self.shares.split()]
        except ValueError as error:
            raise ValueError(f"shares are numbers parted by blanks, got {self.shares!r}") from error
        if found != sorted(set(found)) or any(not 0 < share <= 10 for share in found):
            raise ValueError(f"shares ascend and lie in (0, 10], got {self.shares!r}")
        return found

    @property
    def load_s(self) -> float:
        """How long it lasts; where starts are measured, about."""
        loop_s = self.warmup_s + self.measured_s
        if self.kind == "cold_start":
            return self.starts * _START_S
        if self.kind == "first_request":
            return 2 * self.rounds * _START_S
        if self.kind == "overload":
            return self.capacity_s + loop_s * len(self.shares_of_capacity) + self.recovery_s
        added_s = 2 * _START_S if self.kind == "replica_lost" else 0.0
        return loop_s + added_s + (self.capacity_s if self.rate_share else 0.0)

    @property
    def starts_s(self) -> float:
        """How long the starts of its own servers take, beside its load."""
        return _STARTS.get(self.kind, 0) * _START_S

    @property
    def words(self) -> str:
        more = {
            "swap": f"changes: {self.swaps}",
            "cold_start": f"starts: {self.starts}",
            "first_request": f"rounds: {self.rounds}",
            "replica_lost": f"down {self.down_s:g} s",
            "overload": f"{self.shares} of the capacity",
            "soak": f"{self.measured_s:g} s",
        }[self.kind]
        return f"{self.kind.replace('_', ' ')}: {self.model}, batch {self.batch_rows}, {more}"

    def load(self, rate_qps: float, *, seed: int) -> Load:
        """The open loop, its warm-up with it."""
        return Load(
            rate_qps=rate_qps,
            concurrency=self.concurrency,
            connections=self.connections,
            max_in_flight=self.max_in_flight,
            measured_s=self.measured_s,
            warmup_s=self.warmup_s,
            seed=seed,
        )
