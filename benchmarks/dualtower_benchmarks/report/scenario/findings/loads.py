"""What loads on a server or a model came to: the most rows a second, and what users wait for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from dualtower_benchmarks.numerals import NBSP, count, number
from dualtower_benchmarks.report.scenario.inputs import Inputs, Run
from dualtower_benchmarks.schema.labels import asked, load_words
from dualtower_benchmarks.schema.measured import Measured

__all__ = ["fastest", "rates", "slowest", "waits"]

_NAMED = 4  # drivers in a sentence


def rates(inputs: Inputs) -> str:
    """The most rows a second of each driver; "" without a closed loop."""
    best: dict[tuple[str, str], tuple[Run, Measured]] = {}
    for run, case in _cases(inputs, "closed"):
        rate = case.value("rows_per_s") or 0.0
        driver = run.mark, str(case["driver"])
        if driver not in best or rate > (best[driver][1].value("rows_per_s") or 0.0):
            best[driver] = run, case
    if not best:
        return ""
    texts = [
        f"{run.says(case)} {number(case.value('rows_per_s'))} rows a second (batch "
        f"{case['batch_rows']}, {_clients(case)}, {_p50(case)}, n{NBSP}={NBSP}{count(case.n)})"
        for run, case in list(best.values())[:_NAMED]
    ]
    first = next(iter(best.values()))[0]
    return f"The most rows of a closed loop: {'; '.join(texts)}; on {first.hardware}."


def fastest(inputs: Inputs) -> str:
    """The shortest p50 of a closed loop of each driver; "" without one."""
    best: dict[tuple[str, str], tuple[Run, Measured]] = {}
    for run, case in _cases(inputs, "closed"):
        driver, p50 = (run.mark, str(case["driver"])), case.value("p50_ms")
        if p50 and (driver not in best or p50 < (best[driver][1].value("p50_ms") or p50)):
            best[driver] = run, case
    return _named("The shortest p50 of a closed loop", best.values(), _p50)


def slowest(inputs: Inputs) -> str:
    """The longest p99 of any load of each driver; "" where none has the samples for one."""
    worst: dict[tuple[str, str], tuple[Run, Measured]] = {}
    for loop in ("closed", "open"):
        for run, case in _cases(inputs, loop):
            driver, p99 = (run.mark, str(case["driver"])), case.value("p99_ms")
            if p99 and (driver not in worst or p99 > (worst[driver][1].value("p99_ms") or p99)):
                worst[driver] = run, case
    return _named("The longest p99 of a load", worst.values(), lambda case: f"p99 {_p99(case)} ms")


def _named(
    what: str, found: Iterable[tuple[Run, Measured]], level: Callable[[Measured], str]
) -> str:
    cases = list(found)
    if not cases:
        return ""
    texts = [
        f"{run.says(case)} {level(case)} (batch {case['batch_rows']}, "
        f"{load_words(case, case.offered_qps)}, n{NBSP}={NBSP}{count(case.n)})"
        for run, case in cases[:_NAMED]
    ]
    return f"{what}: {'; '.join(texts)}; on {cases[0][0].hardware}."


def waits(inputs: Inputs) -> str:
    """Which offered rates kept their SLO; medians where none has a p99, "" where none has one."""
    cases = [(run, case) for run, case in _cases(inputs, "open") if case.value("p99_ms")]
    if not cases:
        return _medians(inputs)
    kept = [(run, case) for run, case in cases if _keeps(case)]
    broken = [(run, case) for run, case in cases if not _keeps(case)]
    of_all = f"{len(kept)} of {len(cases)} offered rates with a p99 stayed within their SLO"
    texts = []
    if kept:
        texts.append(f"the highest that did was {_wait(*max(kept, key=_offered_rows))}")
    if broken:
        texts.append(f"the lowest that did not was {_wait(*min(broken, key=_offered_rows))}")
    return f"In open loops {of_all}: {', '.join(texts)}."


def _medians(inputs: Inputs) -> str:
    """Of the highest rate of each model that has one."""
    highest: dict[str, tuple[Run, Measured]] = {}
    for found in _cases(inputs, "open"):
        model = str(found[1]["model"])
        known = highest.get(model)
        if found[1].value("p50_ms") and (
            known is None or _offered_rows(found) > _offered_rows(known)
        ):
            highest[model] = found
    if not highest:
        return ""
    texts = [
        f"{number(case.value('p50_ms'))} ms at {_offer(run, case)} (n{NBSP}={NBSP}{count(case.n)})"
        for run, case in list(highest.values())[:_NAMED]
    ]
    return f"No open loop has the samples for a p99; the p50 was {'; '.join(texts)}."


def _offer(run: Run, case: Measured) -> str:
    return (
        f"{asked(case.offered_qps)} requests a second of {case['batch_rows']} "
        f"row{'s' if case['batch_rows'] > 1 else ''} on {run.says(case)}"
    )


def _wait(run: Run, case: Measured) -> str:
    limit = f"SLO {asked(case['slo_p99_ms'])} ms"
    return f"{_offer(run, case)} (p99 {_p99(case)} ms, {limit}, n{NBSP}={NBSP}{count(case.n)})"


def _p99(case: Measured) -> str:
    """Of all repeats, since the slowest decides."""
    values = case.values("p99_ms")
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"


def _keeps(case: Measured) -> bool:
    """Whether the slowest repeat stayed within the SLO, and nothing failed or was skipped."""
    worst = max(case.values("p99_ms"))
    return worst <= case["slo_p99_ms"] and not case.failed and not case.skipped


def _offered_rows(found: tuple[Run, Measured]) -> float:
    case = found[1]
    return (case.offered_qps or 0.0) * int(case["batch_rows"])


def _cases(inputs: Inputs, loop: str) -> Iterator[tuple[Run, Measured]]:
    for run in inputs.runs:
        for case in run.of(loop):
            if case.rows:
                yield run, case


def _clients(case: Measured) -> str:
    return f"{case['concurrency']} client{'s' if case['concurrency'] > 1 else ''}"


def _p50(case: Measured) -> str:
    return f"p50 {number(case.value('p50_ms'))} ms"
