"""Reads Prometheus' text format, and quantiles out of its histograms. Pure.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/ (text, version 0.0.4).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

__all__ = ["Sample", "of_name", "parse", "quantile"]

_SAMPLE = re.compile(
    r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+-?\d+)?$"
)
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True)
class Sample:
    """One line: a name, labels, a number."""

    name: str
    labels: Mapping[str, str]
    value: float


def parse(text: str) -> Iterator[Sample]:
    """The samples of a page of metrics.

    Raises:
        ValueError: a line is none.
    """
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        found = _SAMPLE.match(line)
        if found is None:
            raise ValueError(f"line {number} is no sample of the text format: {line[:80]!r}")
        yield Sample(found["name"], _labels(found["labels"] or "", number), float(found["value"]))


def quantile(share: float, buckets: Mapping[float, float]) -> float:
    """The value below which `share` of the observations lie, as `histogram_quantile` does it.

    Within a bucket observations are taken to be spread evenly. NaN without observations; the
    highest bound that is finite where the quantile lies beyond it.

    Args:
        share: between 0 and 1.
        buckets: observations at or below each upper bound; one of them is infinite.
    """
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if not total or not math.isinf(bounds[-1]):
        return math.nan
    rank, lower, below = share * total, 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank and buckets[bound] > below:
            if math.isinf(bound):
                return lower
            return lower + (bound - lower) * (rank - below) / (buckets[bound] - below)
        lower, below = bound, buckets[bound]
    return lower


def _labels(text: str, number: int) -> dict[str, str]:
    labels, place = {}, 0
    while place < len(text):
        found = _LABEL.match(text, place)
        if found is None:
            raise ValueError(f"line {number} has labels that cannot be read: {text[:80]!r}")
        labels[found[1]] = _ESCAPED.sub(_unescaped, found[2])
        place = found.end()
    return labels


def _unescaped(found: re.Match[str]) -> str:
    return "\n" if found[1] == "n" else found[1]


def of_name(samples: Iterable[Sample], name: str) -> list[Sample]:
    """The samples with this name."""
    return [one for one in samples if one.name == name]
