"""What came of life events: swaps, overload, a lost replica, starts, a soak; not of void ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower_benchmarks.events.table import failures_words
from dualtower_benchmarks.numerals import NBSP, count, milliseconds, number
from dualtower_benchmarks.report.hardware import hardware
from dualtower_benchmarks.report.scenario.events import is_ours
from dualtower_benchmarks.report.scenario.events_figure import subject_words
from dualtower_benchmarks.report.scenario.inputs import Inputs
from dualtower_benchmarks.report.scenario.soak_figure import growth_words

__all__ = ["overload", "recovered", "replica_lost", "soak", "soaked", "starts", "swaps", "void"]

Row = Mapping[str, Any]


def swaps(inputs: Inputs) -> str:
    """The slowest requests and what failed in the first swaps; "" without any."""
    row = _first(inputs, "swap")
    if row is None:
        return ""
    found = row["swap"]
    changes, offered = len(found["changes"]), number(row["offered_qps"])
    return (
        f"{changes} change{'s' if changes > 1 else ''} of version of {subject_words(row)} at "
        f"{offered} requests a second: slowest request {_slowest(found['before'])} before, "
        f"{_slowest(found['during'])} during, {_slowest(found['after'])} after; failed: "
        f"{failures_words(found['whole'])}."
    )


def overload(inputs: Inputs) -> str:
    """The verdict on the goodput of the first subject; "" without one."""
    row = _first(inputs, "overload")
    if row is None or row["overload"]["verdict"] is None:
        return ""
    found = row["overload"]
    last = found["steps"][-1]
    return (
        f"At {last['share']:g} × the capacity of {subject_words(row)} "
        f"({number(last['offered_qps'])} requests a second offered) goodput "
        f"{found['verdict']}: {number(last['goodput_qps'])} answers a second within "
        f"{found['deadline_ms']:g} ms, of at best {number(found['best_goodput_qps'])} "
        f"(n{NBSP}={NBSP}{count(last['due'])})."
    )


def recovered(inputs: Inputs) -> str:
    """When the first subject was within its SLO again after the overload; "" without one."""
    row = _first(inputs, "overload")
    if row is None or not row["overload"]["recovery"]:
        return ""
    found = row["overload"]["recovery"]
    back_s = found["until_good_s"]
    back = (
        f"was not within {row['slo_p99_ms']:g} ms again in {number(found['seconds'])} s"
        if back_s is None
        else f"was within {row['slo_p99_ms']:g} ms again after {number(back_s)} s"
    )
    last = row["overload"]["steps"][-1]
    return (
        f"After {last['share']:g} × the capacity (n{NBSP}={NBSP}{count(last['due'])}) the p99 of "
        f"{subject_words(row)} at {found['share']:g} × {back}, and the server kept "
        f"{_cores(last['server_cores'])} busy under the highest load; on {_where(inputs)}."
    )


def _cores(cores: float | None) -> str:
    return "an unknown number of cores" if cores is None else f"{number(cores)} cores"


def void(inputs: Inputs) -> str:
    """How many attempts are void, and why; "" where none is."""
    rows = [row for one in inputs.of("events") if is_ours(one) for row in one.found["rows"]]
    spoilt = [row for row in rows if row["void"] is not None]
    if not spoilt:
        return ""
    texts = dict.fromkeys(
        f"{row['kind'].replace('_', ' ')} of {subject_words(row)}: {row['void']}" for row in spoilt
    )
    are = "is" if len(spoilt) == 1 else "are"
    return (
        f"Of {count(len(rows))} attempts at events {count(len(spoilt))} {are} void "
        f"({'; '.join(texts)}); on {_where(inputs)}."
    )


def _where(inputs: Inputs) -> str:
    return hardware(next(one for one in inputs.of("events") if is_ours(one)).document)


def replica_lost(inputs: Inputs) -> str:
    """What callers met of the first lost replica; "" without one."""
    row = _first(inputs, "replica_lost")
    if row is None:
        return ""
    found = row["replica_lost"]
    back_s = found["until_takes_load_s"]
    back = "did not take load again" if back_s is None else f"took load {number(back_s)} s later"
    return (
        f"One of two replicas killed at {number(row['offered_qps'])} requests a second: failed "
        f"{failures_words(found['whole'])}, slowest request {_slowest(found['before'])} before and "
        f"{_slowest(found['during'])} until it {back} "
        f"(n{NBSP}={NBSP}{count(found['whole']['n'])})."
    )


def starts(inputs: Inputs) -> str:
    """The median of cold starts, and the first request with and without warm-up file."""
    texts = []
    if (row := _first(inputs, "cold_start")) is not None:
        found = row["cold_start"]
        texts.append(
            f"the first right answer after a start came in {number(found['median']['answer_s'])} s "
            f"(median of {len(found['starts'])}, {row['engine']})"
        )
    if (row := _first(inputs, "first_request")) is not None:
        by = {one["warmup_file"]: one for one in row["first_request"]["variants"]}
        texts.append(
            f"the first request took {number(by[True]['median_ms'][0])} ms with the warm-up file "
            f"and {number(by[False]['median_ms'][0])} ms without, where later ones have a p50 of "
            f"{milliseconds(by[True]['steady_p50_ms'])} ms"
        )
    text = "; ".join(texts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def soak(inputs: Inputs) -> str:
    """Whether memory and p99 grew in the first soak; "" without one."""
    row = _first(inputs, "soak")
    if row is None:
        return ""
    found = row["soak"]
    return (
        f"Over {number(found['whole']['seconds'] / 60)} min at {number(row['offered_qps'])} "
        f"requests a second: {growth_words(found['memory_growth'], 'memory', 'MB')}; "
        f"{growth_words(found['p99_growth'], 'the p99', 'ms')}; failed "
        f"{failures_words(found['whole'])} (n{NBSP}={NBSP}{count(found['whole']['n'])})."
    )


def soaked(inputs: Inputs) -> str:
    """What the callers of the first soak waited for; "" without one."""
    row = _first(inputs, "soak")
    if row is None or not row["soak"]["whole"]["p50_ms"]:
        return ""
    whole = row["soak"]["whole"]
    waits = [
        f"{name} {number(level['value'])} ms ({number(level['low'])} to {number(level['high'])})"
        for name in ("p50", "p90", "p99")
        if (level := whole[f"{name}_ms"])
    ]
    return (
        f"In {number(whole['seconds'] / 60)} min of {subject_words(row)}, batch "
        f"{row['batch_rows']}: {', '.join(waits)}, slowest request {_slowest(whole)}; on "
        f"{_where(inputs)}."
    )


def _first(inputs: Inputs, kind: str) -> Row | None:
    rows = (row for one in inputs.of("events") if is_ours(one) for row in one.found["rows"])
    return next((row for row in rows if row["kind"] == kind and row["void"] is None), None)


def _slowest(part: Row) -> str:
    return f"{number(part['slowest_ms'])} ms (n{NBSP}={NBSP}{count(part['n'])})"
