"""Matplotlib panels as inline SVG that follows the page: its colours, its font, its light or dark.

A figure is drawn in marker colours that no one would choose; they become CSS variables afterwards.
Text stays text, so a reader can select it and a screen reader can find it. The panels are narrow
(about 350 px), so that they fill a phone and stand side by side on a desk.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

__all__ = [
    "FAINT",
    "GRID",
    "INK",
    "MARKERS",
    "MUTED",
    "SERIES",
    "Panel",
    "cut",
    "draw",
    "log_ticks",
    "plain_ticks",
    "short_label",
]

INK, MUTED, GRID, FAINT = "#010101", "#010102", "#010103", "#010108"
SERIES = ("#010104", "#010105", "#010106", "#010107")  # told apart by MARKERS, too
MARKERS = ("o", "s", "D", "^")

_VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid", FAINT: "--faint"} | {
    colour: f"--series-{position}" for position, colour in enumerate(SERIES, start=1)
}
_WIDTH_IN = 4.8  # at 72 units an inch: 346, a phone less its margins
_LABEL_CHARS = 22
# decades, and the digits that have room in each of them
_SUBS = {
    "x": ((2.0, (1.0, 2.0, 5.0)), (3.0, (1.0, 3.0))),
    "y": ((3.0, (1.0, 2.0, 5.0)), (4.0, (1.0, 3.0))),
}
_TITLE_CHARS = 38  # of a line
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 12.0,
    "font.sans-serif": ["DejaVu Sans"],
    "axes.titlesize": 12.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.use_mathtext": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.minor.visible": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 6.0,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "legend.fontsize": 11.5,
    "xtick.labelsize": 11.0,
    "ytick.labelsize": 11.0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@dataclass(frozen=True)
class Panel:
    """A drawn figure and the line below it."""

    svg: Markup
    caption: str


def draw(
    name: str,
    paint: Callable[[Axes], None],
    *,
    title: str,
    alt: str,
    caption: str,
    height_in: float = 3.5,
) -> Panel:
    """One set of axes as a panel.

    Args:
        name: unique on the page; it prefixes the ids inside the SVG.
        paint: draws on the axes, in the colours of this module.
        alt: the figure in words, for those who cannot see it.
        caption: what was measured, on which hardware, with how many samples.
    """
    stream = io.StringIO()
    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.set_title(textwrap.fill(cut(title, 2 * _TITLE_CHARS - 6), _TITLE_CHARS))
        paint(axes)
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(stream, format="svg", metadata=nothing)
    return Panel(_inline(stream.getvalue(), name, alt), caption)


def short_label(text: str) -> str:
    """A name that leaves room for the axes, without its source; the tables have it whole."""
    text = text.partition(" (")[0]
    return text if len(text) <= _LABEL_CHARS else text[: _LABEL_CHARS - 1] + "…"


def cut(text: str, most: int) -> str:
    """A text without its middle, where it is longer than a figure has room for."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}…{text[len(text) - (most - 1) // 2 :]}"


def log_ticks(axes: Axes, *directions: str) -> None:
    """The "x" or "y" axis logarithmic, with plain numbers: 1, 2 and 5 of each decade where there is
    room for them, which there is in what is drawn already.
    """
    for direction in directions:
        axis = axes.xaxis if direction == "x" else axes.yaxis
        (axes.set_xscale if direction == "x" else axes.set_yscale)("log")
        low, high = axes.get_xlim() if direction == "x" else axes.get_ylim()
        decades = math.log10(high / low) if 0 < low < high else 1.0
        subs = next((subs for most, subs in _SUBS[direction] if decades <= most), (1.0,))
        axis.set_major_locator(LogLocator(subs=subs))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    plain_ticks(axes, *directions)


def plain_ticks(axes: Axes, *directions: str) -> None:
    """Numbers without exponents or trailing zeros on the "x" or "y" axis."""
    formatter = FuncFormatter(lambda value, _: f"{value:,.10g}")
    for direction in directions:
        axis = axes.xaxis if direction == "x" else axes.yaxis
        axis.set_major_formatter(formatter)


def _inline(text: str, name: str, alt: str) -> Markup:
    """The `<svg>` element alone: themed, with ids that no other panel has, and its alt text."""
    body = text[text.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    body = re.sub(r'font: (?:bold |\d+ )?([\d.]+)px [^;"]+', r"font-size: \1px", body)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'xlink:href="#', f'href="#{name}-', body)
    view = re.search(r'viewBox="[^"]+"', body)
    inner = body[body.index(">", body.index("<svg")) + 1 :]
    return Markup(
        f'<svg {view.group() if view else ""} role="img" aria-label="{escape(alt)}" '
        f'xmlns="http://www.w3.org/2000/svg">{inner}'
    )
