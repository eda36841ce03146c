"""Training curves: loss, validation metrics and temperature over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from dualtower_benchmarks.numerals import count, duration, number, share
from dualtower_benchmarks.report.svg import MARKERS, SERIES, Panel, draw, plain_ticks

__all__ = ["training_panels"]

_CURVES = (
    ("loss", "Training loss", (("loss", "loss"),)),
    (
        "validation",
        "Validation, known items",
        (("validation_recall_at_20", "Recall@20"), ("validation_ndcg_at_20", "NDCG@20")),
    ),
    (
        "validation-cold",
        "Validation, new items among themselves",
        (("validation_cold_recall_at_20", "Recall@20"), ("validation_cold_ndcg_at_20", "NDCG@20")),
    ),
    ("temperature", "Temperature", (("temperature", "temperature"),)),
)


def training_panels(training: Mapping[str, Any]) -> list[Panel]:
    """A panel per curve that the history holds."""
    history = training.get("history", [])
    caption = (
        f"{count(training.get('examples'))} training examples, "
        f"{duration(training.get('elapsed_s'))} with all choices; single run."
    )
    panels = []
    for name, title, keys in _CURVES:
        curves = [(label, _points(history, key)) for key, label in keys]
        curves = [(label, points) for label, points in curves if points]
        if curves:
            panels.append(_panel(name, title, curves, caption))
    return panels


def _panel(name: str, title: str, curves: Sequence[tuple[str, Any]], caption: str) -> Panel:
    def paint(axes: Axes) -> None:
        for (label, points), colour, marker in zip(curves, SERIES, MARKERS, strict=False):
            steps, values = zip(*points, strict=True)
            few = len(points) <= 40
            axes.plot(steps, values, color=colour, marker=marker if few else "", label=label)
        axes.set_xlabel("step")
        plain_ticks(axes, "x", "y")
        axes.locator_params(axis="x", nbins=5)
        if len(curves) > 1:
            axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.2), ncols=2)

    alt = "; ".join(
        f"{label} from {_value(points[0])} to {_value(points[-1])}" for label, points in curves
    )
    return draw(f"training-{name}", paint, title=title, alt=f"{title}: {alt}", caption=caption)


def _value(point: tuple[float, float]) -> str:
    step, value = point
    return f"{share(value) if value < 1 else number(value)} at step {count(step)}"


def _points(history: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    return [(row["step"], row[key]) for row in history if row.get(key) is not None]
