"""A comparison as rows of words, which the terminal and Markdown lay out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dualtower_benchmarks.compare.verdicts import (
    BETTER,
    NOISE_NOT_KNOWN,
    NOT_COMPARABLE,
    WITHIN_NOISE,
    WORSE,
    Comparison,
    Entry,
    Judged,
    JudgedFigure,
    measure_word,
)
from dualtower_benchmarks.numerals import DASH, count, megabytes, number, percent, plain
from dualtower_benchmarks.schema.labels import Labels, load_words

__all__ = ["HEAD", "NUMBERS", "Line", "facts", "lines", "only", "summary"]

HEAD = ("verdict", "what", "batch", "load", "measure", "A", "B", "change", "interval", "noise",
        "p", "n A", "n B", "note")  # fmt: skip
NUMBERS = frozenset({"batch", "A", "B", "change", "interval", "noise", "p", "n A", "n B"})


@dataclass(frozen=True)
class Line:
    """A row of the table, one measure of a point or one figure of a part."""

    verdict: str
    cells: tuple[str, ...]


def lines(comparison: Comparison) -> Iterator[Line]:
    """Worse ones first, then better, within noise, and those that cannot be compared."""
    labels = Labels([*comparison.a.rows.values(), *comparison.b.rows.values()])
    order = (WORSE, BETTER, NOISE_NOT_KNOWN, WITHIN_NOISE, NOT_COMPARABLE)
    for one in sorted(comparison.every, key=lambda one: order.index(one.verdict)):
        if isinstance(one, Entry):
            where: tuple[str, ...] = (one.words, "", "")
            judged = [(figure.verdict, _figure_cells(figure)) for figure in one.figures]
        else:
            row = one.row
            where = (labels(row), str(row["batch_rows"]), load_words(row, row["offered_qps"]))
            judged = [(effect.verdict, _cells(effect)) for effect in one.effects]
        said = "; ".join((*one.reasons, *one.notes))
        for place, (verdict, cells) in enumerate(judged):
            yield Line(verdict, (verdict, *where, *cells, said if not place else ""))
        if not judged:
            blanks = ("",) * (len(HEAD) - len(where) - 2)
            yield Line(one.verdict, (one.verdict, *where, *blanks, said))


def summary(comparison: Comparison) -> str:
    """How many of each verdict, and how chance was held off."""
    counted = {name: len(comparison.of(name)) for name in (WORSE, BETTER, WITHIN_NOISE)}
    if comparison.entries:
        counted[NOISE_NOT_KNOWN] = len(comparison.of(NOISE_NOT_KNOWN))
    common = "points" if not comparison.entries else "points and entries of parts"
    text = (
        f"{sum(counted.values())} of {len(comparison.every)} common {common} compared: "
        + ", ".join(f"{found} {name}" for name, found in counted.items())
        + "."
    )
    if comparison.points:
        text += (
            f" {comparison.tests} measure{'s' if comparison.tests != 1 else ''} judged together "
            f"(Holm at {percent(1 - comparison.confidence)}), beyond the noise, the machine's "
            f"own pace and {percent(comparison.threshold)}; intervals are "
            f"{percent(comparison.confidence)} each."
        )
    if comparison.entries:
        text += (
            " Figures of parts have no p: they are better or worse where their intervals are "
            f"apart, and the change is beyond noise, pace and {percent(comparison.threshold)}."
        )
    hidden = max(
        (_worst(one) for point in comparison.points for one in point.effects
         if point.verdict == WITHIN_NOISE and one.effect.measure != "failed_share"),
        default=None,
    )  # fmt: skip
    if hidden and hidden > 1.0:
        text += f" Within noise, the interval that reaches furthest allows ×{number(hidden)}."
    return text


def facts(comparison: Comparison) -> list[str]:
    """What is not the same on both sides, the loud ones first."""
    found = [f"MACHINES DIFFER: {difference}" for difference in comparison.machine]
    found += [f"warning: {warning}" for warning in comparison.warnings]
    between = f"noise: also between {len(comparison.baselines.results) + 1} runs, A among them"
    if noise := comparison.baselines.noise:
        seen = (
            f"{measure_word(name)} ×{one['max_over_min']:.3f} at most"
            for name, one in noise["pooled"].items()
            if one and name in ("p50_ms", "p99_ms", "rows_per_s")
        )
        found.append(f"{between}: {', '.join(seen)}")
    elif comparison.baselines.results:
        found.append(between)
    if comparison.software:
        found.append("software: " + "; ".join(map(str, comparison.software)))
    return found


def only(comparison: Comparison) -> list[str]:
    """Points of one file alone, and entries of parts."""
    found = []
    for name, side, other, rows, parts in (
        ("A", comparison.a, comparison.b, comparison.only_a, comparison.only_parts_a),
        ("B", comparison.b, comparison.a, comparison.only_b, comparison.only_parts_b),
    ):
        found += [f"only in {name}: {said}" for said in parts.values()]
        labels = Labels(side.rows.values())
        reasons = {tuple(_case(c)): c["reason"] for c in other.document["absent"]}
        for row in rows:
            why = reasons.get(tuple(_case(row)))
            found.append(
                f"only in {name}: {labels(row)}, batch {row['batch_rows']}, "
                f"{load_words(row, row['offered_qps'])}" + (f" ({why})" if why else "")
            )
    return found


def _cells(judged: Judged) -> tuple[str, ...]:
    effect = judged.effect
    if effect.measure == "failed_share":
        a, b, change, low, high = (
            f"{100 * value:.3g} %"
            for value in (effect.a, effect.b, effect.change, effect.low, effect.high)
        )
        middle = (f"{change}", f"{low} … {high}", DASH)
    else:
        unit = " ms" if effect.measure.endswith("_ms") else ""
        a, b = number(effect.a) + unit, number(effect.b) + unit
        middle = (
            f"×{effect.change:.3f}",
            f"{effect.low:.3f} … {effect.high:.3f}",
            f"×{judged.noise:.3f}" if judged.noise else "unknown",
        )
    p = f"{judged.p:.2g}" if judged.p >= 0.001 else "<0.001"
    return (measure_word(effect.measure), a, b, *middle, p, count(effect.n_a), count(effect.n_b))


def _figure_cells(judged: JudgedFigure) -> tuple[str, ...]:
    by_ratio, unit = judged.a.least is None, judged.a.unit
    low, high = judged.low, judged.high
    interval, noise = DASH, "unknown"
    if low is not None and high is not None:
        ends = (number(end) if by_ratio else _value(end, unit) for end in (low, high))
        interval = " … ".join(ends) if math.isfinite(high) else f"{number(low)} …"
    if judged.noise is not None:
        noise = f"×{judged.noise:.3f}" if by_ratio else _value(judged.noise, unit)
    return (
        _figure_word(judged.a.name),
        _value(judged.a.value, unit),
        _value(judged.b.value, unit),
        f"×{number(judged.change)}" if by_ratio else _value(judged.change, unit),
        interval,
        noise,
        "",
        count(judged.a.n),
        count(judged.b.n),
    )


def _value(value: float, unit: str) -> str:
    if unit == "share":
        return f"{100 * value:.3g} %"
    if unit == "bytes":
        return megabytes(value)
    if unit == "cosine":
        return f"{value:.6f}"
    return f"{number(value)}{'' if unit in ('', '/s') else ' '}{unit}"


def _figure_word(name: str) -> str:
    """during_p99_ms as "during p99", users_per_s as "users/s"; the values have the unit."""
    for ending in ("_ms", "_qps", "_us", "_bytes", "_per_s", "_s"):
        if name.endswith(ending):
            name = name.removesuffix(ending) + ("/s" if ending == "_per_s" else "")
            break
    return name.replace("_", " ")


def _worst(judged: Judged) -> float:
    effect = judged.effect
    return 1.0 / max(effect.low, 1e-9) if effect.measure == "rows_per_s" else effect.high


def _case(row: Mapping[str, Any]) -> list[str]:
    """What two rows of one case have in common, in words."""
    names = ("driver", "model", "variant", "precision", "device", "threads", "xla", "batch_rows",
             "tokens", "batching", "flags", "loop", "concurrency", "rate_qps",
             "rate_share")  # fmt: skip
    return [plain(row[name]) for name in names]
