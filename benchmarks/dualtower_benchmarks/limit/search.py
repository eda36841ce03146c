"""The search for the highest rate that holds, apart from any measuring.

    start ─► doubled while it holds, halved while it does not ─► the geometric middle of the highest
    rate that held and the lowest that did not ─► … until they are near ─► the rate once more

A rate is tried until a majority of its votes agrees. Where the same rate holds and breaks, or a
lower one breaks and a higher one holds, breaking counts: the limit is the highest rate that held
below every rate that did not. Nothing is drawn here, so a search that is fed the same verdicts
again goes the same way, which is how a run that was killed goes on.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

__all__ = ["BROKE", "CONFIRM", "HELD", "SEARCH", "VOID", "Ask", "Found", "Plan", "search"]

HELD, BROKE, VOID = "held", "broke", "void"
SEARCH, CONFIRM = "search", "confirm"


@dataclass(frozen=True)
class Plan:
    """Where a search looks, and how hard.

    Args:
        start_qps: the first rate that is tried.
        low_qps, high_qps: no rate below or above these is.
        resolution: it ends when the lowest rate that broke is no more than this share above the
            highest that held.
        votes: probes of a rate, odd; those that cannot change its majority are left out.
        attempts: void probes in a row after which a rate counts as void.
        most_probes: of the whole search.
    """

    start_qps: float
    low_qps: float
    high_qps: float = math.inf
    resolution: float = 0.05
    votes: int = 3
    attempts: int = 2
    most_probes: int = 60

    def __post_init__(self) -> None:
        if not 0 < self.low_qps <= self.start_qps <= self.high_qps:
            raise ValueError(
                "a search takes 0 < low_qps <= start_qps <= high_qps, got "
                f"{self.low_qps}, {self.start_qps} and {self.high_qps}"
            )


@dataclass(frozen=True)
class Ask:
    """A probe that the search wants.

    Args:
        purpose: SEARCH; or CONFIRM, the rate that was found once more.
    """

    rate_qps: float
    purpose: str = SEARCH


@dataclass(frozen=True)
class Found:
    """What the verdicts came to.

    Args:
        held_qps: the highest rate that held below every one that did not; None: none did.
        broke_qps, void_qps: the lowest rate that broke, that the generator could not offer.
        confirmed: whether a further probe of `held_qps` held, too.
        complete: False where the probes ran out before the interval was as narrow as asked.
        contradictions: pairs of a rate that broke and a higher one that held.
    """

    held_qps: float | None
    broke_qps: float | None
    void_qps: float | None
    confirmed: bool
    complete: bool
    contradictions: tuple[tuple[float, float], ...] = ()

    @property
    def generator_bound(self) -> bool:
        """Whether what ends the interval is a rate that could not be offered."""
        return self.void_qps is not None and (
            self.broke_qps is None or self.void_qps < self.broke_qps
        )


def search(plan: Plan) -> Generator[Ask, str, Found]:
    """Asks for probes; `send` takes the verdict of each: HELD, BROKE or VOID.

    Returns:
        what was found, as the generator's value.

    Example:
        probes = search(Plan(start_qps=100.0, low_qps=1.0))
        ask = next(probes)
        ask = probes.send(HELD)      # … until StopIteration, whose value is a `Found`
    """
    state = _State(plan)
    while state.left > 1:  # the last one is kept for the confirmation
        rate = state.next_rate()
        if rate is not None:
            yield from _vote(state, rate, reserve=1)
            continue
        held = state.held_qps
        if held is None or (yield from _confirm(state, held)):
            break
    else:
        held = state.held_qps
        if held is not None and held not in state.confirmed and state.left:
            yield from _confirm(state, held)
    return state.found()


@dataclass
class _State:
    plan: Plan
    verdicts: dict[float, str] = field(default_factory=dict)  # of rates
    held: list[float] = field(default_factory=list)  # of single probes
    broke: list[float] = field(default_factory=list)
    confirmed: set[float] = field(default_factory=set)
    asked: int = 0

    @property
    def left(self) -> int:
        return self.plan.most_probes - self.asked

    @property
    def cap_qps(self) -> float | None:
        """The lowest rate that did not hold."""
        caps = [rate for rate, verdict in self.verdicts.items() if verdict != HELD]
        return min(caps, default=None)

    @property
    def held_qps(self) -> float | None:
        cap = self.cap_qps
        rates = [rate for rate, verdict in self.verdicts.items() if verdict == HELD]
        return max((rate for rate in rates if cap is None or rate < cap), default=None)

    def next_rate(self) -> float | None:
        """The rate to try; None where the interval is as narrow as asked."""
        plan, held, cap = self.plan, self.held_qps, self.cap_qps
        if held is None and cap is None:
            return plan.start_qps
        if cap is None:
            assert held is not None
            return min(2.0 * held, plan.high_qps) if held < plan.high_qps else None
        if held is None:
            return max(cap / 2.0, plan.low_qps) if cap > plan.low_qps else None
        return math.sqrt(held * cap) if cap > held * (1.0 + plan.resolution) else None

    def take(self, ask: Ask, verdict: str) -> None:
        self.asked += 1
        if verdict not in (HELD, BROKE, VOID):
            raise ValueError(f"a verdict is {HELD}, {BROKE} or {VOID}, got {verdict!r}")
        if verdict != VOID:
            (self.held if verdict == HELD else self.broke).append(ask.rate_qps)

    def found(self) -> Found:
        held = self.held_qps
        return Found(
            held_qps=held,
            broke_qps=_lowest(self.verdicts, BROKE),
            void_qps=_lowest(self.verdicts, VOID),
            confirmed=held in self.confirmed,
            complete=self.next_rate() is None,
            contradictions=_contradictions(self.held, self.broke),
        )


def _vote(state: _State, rate: float, *, reserve: int) -> Generator[Ask, str, None]:
    """Tries a rate until its verdict stands, or no probe is left for it."""
    majority = state.plan.votes // 2 + 1
    votes: dict[str, int] = {HELD: 0, BROKE: 0, VOID: 0}
    while state.left > reserve:
        ask = Ask(rate)
        verdict = yield ask
        state.take(ask, verdict)
        votes[verdict] += 1
        votes[VOID] *= verdict == VOID  # in a row
        if verdict != VOID and votes[verdict] >= majority:
            state.verdicts[rate] = verdict
            return
        if votes[VOID] >= state.plan.attempts:
            state.verdicts[rate] = VOID
            return


def _confirm(state: _State, rate: float) -> Generator[Ask, str, bool]:
    """The rate that was found once more; what breaks now counts as broken."""
    ask = Ask(rate, CONFIRM)
    for _ in range(min(state.plan.attempts, state.left)):
        verdict = yield ask
        state.take(ask, verdict)
        if verdict == HELD:
            state.confirmed.add(rate)
            return True
        if verdict == BROKE:
            state.verdicts[rate] = BROKE
            return False
    return True  # never a word against it, and none for it: it stays unconfirmed


def _lowest(verdicts: Mapping[float, str], wanted: str) -> float | None:
    return min((rate for rate, verdict in verdicts.items() if verdict == wanted), default=None)


def _contradictions(held: list[float], broke: list[float]) -> tuple[tuple[float, float], ...]:
    """Each rate that broke below one that held, with the highest of those."""
    highest = max(held, default=0.0)
    return tuple((rate, highest) for rate in sorted(set(broke)) if rate < highest)
