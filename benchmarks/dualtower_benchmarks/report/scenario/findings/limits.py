"""What the searches for a limit found: the highest rates under their SLO, and what broke above."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dualtower_benchmarks.limit.table import slo_words
from dualtower_benchmarks.numerals import NBSP, count, number
from dualtower_benchmarks.report.hardware import hardware
from dualtower_benchmarks.report.scenario.inputs import Inputs
from dualtower_benchmarks.report.scenario.limits import by_key, limit_words, subject_words

__all__ = ["above", "at", "limits", "probes", "tuned"]

Row = Mapping[str, Any]
_NAMED = 3


def limits(inputs: Inputs) -> str:
    """The limits of the first cases; "" where nothing was searched."""
    found = inputs.of("limits")
    cases = [rows for one in found for rows in by_key(one.found["rows"])]
    if not cases:
        return ""
    texts = [
        f"{subject_words(rows[0])} at batch {rows[0]['batch_rows']} {limit_words(rows)} "
        f"({slo_words(rows[0])}, n{NBSP}={NBSP}"
        f"{count(sum(probe['n'] for row in rows for probe in row['probes']))})"
        for rows in cases[:_NAMED]
    ]
    more = f"; {len(cases) - _NAMED} more below" if len(cases) > _NAMED else ""
    where = hardware(found[0].document)
    return f"The highest rate that held its SLO: {'; '.join(texts)}{more}; on {where}."


def at(inputs: Inputs) -> str:
    """What the first cases had at their limit; "" where no rate held."""
    texts = []
    for row in _rows(inputs):
        if row["limit_qps"] is None:
            continue
        found = _levels(row, row["limit_qps"], "held")
        if found:
            texts.append(
                f"{subject_words(row)} {number(row['limit_qps'])} requests a second {found}"
            )
    return _said(inputs, "What held at the limit", texts)


def above(inputs: Inputs) -> str:
    """The lowest rate that broke, by what, and its percentile; "" where none broke."""
    texts = []
    for row in _rows(inputs):
        if row["broke_qps"] is None:
            continue
        found = _levels(row, row["broke_qps"], "broke")
        if found:
            why = dict.fromkeys(
                reason
                for probe in row["probes"]
                if probe["verdict"] == "broke" and probe["offered_qps"] == row["broke_qps"]
                for reason in probe["reasons"]
            )
            texts.append(
                f"{subject_words(row)} at {number(row['broke_qps'])} requests a second by "
                f"{', '.join(why)} {found}"
            )
    return _said(inputs, "The lowest rate that broke its SLO", texts)


def probes(inputs: Inputs) -> str:
    """How many probes held, broke and were void, and by what; "" without any."""
    found = [probe for row in _rows(inputs) for probe in row["probes"]]
    if not found:
        return ""
    verdicts = Counter(probe["verdict"] for probe in found)
    reasons = Counter(
        reason for probe in found if probe["verdict"] == "broke" for reason in probe["reasons"]
    )
    broke = ", ".join(f"{name} {count(times)}" for name, times in reasons.most_common())
    confirmed = sum(bool(row["confirmed"]) for row in _rows(inputs))
    return (
        f"Of {count(len(found))} probes (n{NBSP}={NBSP}{count(sum(p['n'] for p in found))}) "
        f"{count(verdicts['held'])} held, {count(verdicts['broke'])} broke"
        f"{f' (by {broke})' if broke else ''} and {count(verdicts['void'])} "
        f"{'was' if verdicts['void'] == 1 else 'were'} void, since the generator lagged; "
        f"{count(confirmed)} of {count(len(_rows(inputs)))} limits held once more; on "
        f"{hardware(inputs.of('limits')[0].document)}."
    )


def tuned(inputs: Inputs) -> str:
    """What `bench tune` decided, of how many settings; "" where nothing was tuned."""
    for one in inputs.of("tune"):
        found = one.found
        requests = sum(
            row["requests"]
            for candidate in found["candidates"]
            for rows in candidate["rounds"]
            for row in rows
        )
        return (
            f"Of {count(len(found['candidates']))} settings of the server under "
            f"{slo_words(found['slo'])} (n{NBSP}={NBSP}{count(requests)}): "
            f"{found['verdict'].rstrip('.')}; on {hardware(one.document)}."
        )
    return ""


def _rows(inputs: Inputs) -> list[Row]:
    return [row for one in inputs.of("limits") for row in one.found["rows"]]


def _levels(row: Row, rate_qps: float, verdict: str) -> str:
    """The span of the percentile over the probes of a rate: "(p99 44.1 to 46.0 ms, n = 10,502)"."""
    found = [
        probe for probe in row["probes"]
        if probe["offered_qps"] == rate_qps and probe["verdict"] == verdict and probe["level_ms"]
    ]  # fmt: skip
    if not found:
        return ""
    levels = [probe["level_ms"]["value"] for probe in found]
    low, high = number(min(levels)), number(max(levels))
    return (
        f"(p{100 * row['slo_percentile']:g} {low if low == high else f'{low} to {high}'} ms of "
        f"{row['slo_ms']:g}, {count(len(found))} probe{'s' if len(found) > 1 else ''}, "
        f"n{NBSP}={NBSP}{count(sum(probe['n'] for probe in found))})"
    )


def _said(inputs: Inputs, what: str, texts: Sequence[str]) -> str:
    if not texts:
        return ""
    where = hardware(inputs.of("limits")[0].document)
    return f"{what}: {'; '.join(texts[:_NAMED])}; on {where}."
