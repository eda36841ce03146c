"""Prometheus's text format, version 0.0.4.

Written here, since the metric names of model servers start with a colon and counters have no
`_total`: `prometheus_client` adds that suffix and refuses to leave it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["CONTENT_TYPE", "escape", "header", "histogram", "sample"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Sequence[tuple[str, str]]


def header(name: str, kind: str, text: str) -> str:
    """The lines that open a metric; `kind` is counter, gauge or histogram."""
    help_text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {name} {help_text}\n# TYPE {name} {kind}\n"


def sample(name: str, labels: Labels, value: float) -> str:
    """One line."""
    return f"{name}{_braces(labels)} {number(value)}\n"


def histogram(
    name: str, labels: Labels, bounds: Sequence[float], counts: Iterable[int], total: float
) -> str:
    """The lines of one histogram.

    Args:
        name: without suffix.
        labels: without `le`.
        bounds: upper bounds, without the infinite one.
        counts: what fell into each bucket, one more than `bounds`; not cumulative.
        total: the sum of all observations.
    """
    lines, seen = [], 0
    for bound, count in zip([*(f"{bound:g}" for bound in bounds), "+Inf"], counts, strict=True):
        seen += count
        lines.append(sample(f"{name}_bucket", [*labels, ("le", bound)], seen))
    lines.append(sample(f"{name}_sum", labels, total))
    lines.append(sample(f"{name}_count", labels, seen))
    return "".join(lines)


def number(value: float) -> str:
    """Whole numbers without a point, others as Python prints them."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def escape(value: str) -> str:
    """A label's value between its quotes."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _braces(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{escape(value)}"' for name, value in labels) + "}"
