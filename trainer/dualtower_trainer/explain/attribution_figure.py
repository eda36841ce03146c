"""An explanation as a figure: a row of bar panels for each item, on one scale within a row.

Everything has its place in inches, and every text is cut to the width that it has there, as
measured in its font, so that no title leaves the page and no number covers a name:

    margin │ names │ bars │ gap │ names │ bars │ gap │ names │ bars │ margin
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from dualtower_trainer.explain.attribution import Attribution, Explanation, ItemExplanation
from dualtower_trainer.explain.attribution_tables import heading, label, shortened, signed

__all__ = ["draw_explanation"]

_MOST_BARS = 10
_UP, _DOWN, _REST = "#2b6ca3", "#c8641b", "#5c616b"  # apart for colour-blind eyes as well
# inches
_MARGIN, _GAP, _NAMES, _BARS = 0.2, 0.3, 2.4, 2.4
_PANEL = _NAMES + _BARS
_TITLE, _HEADING, _PANEL_TITLE, _BAR, _AXIS = 0.5, 0.34, 0.48, 0.27, 0.62
_PAD = 0.06
_DPI = 150  # measured at what is drawn at, since hinted letters are as wide as pixels allow
_TITLE_SIZE, _HEADING_SIZE, _TEXT_SIZE, _NUMBER_SIZE = 13.0, 11.0, 9.5, 8.0


def draw_explanation(explanation: Explanation) -> Figure:
    """The whole figure, in the fonts that matplotlib is set to."""
    rows = [_panels(item) for item in explanation.items]
    columns = max(map(len, rows))
    width = 2 * _MARGIN + columns * _PANEL + (columns - 1) * _GAP
    bars = [max(1, *(_bars(one) for _, one in row)) for row in rows]
    heights = [_HEADING + _PANEL_TITLE + _BAR * count + _AXIS for count in bars]
    page = _Page(width, _MARGIN + _TITLE + sum(heights))
    read = f"({explanation.items_read} of {explanation.history_items} history items read)"
    page.title(
        _MARGIN, _MARGIN, "Why these items for ", explanation.user_id, f"? {read}",
        size=_TITLE_SIZE, weight="bold",
    )  # fmt: skip
    top = _MARGIN + _TITLE
    for row, item, count, height in zip(rows, explanation.items, bars, heights, strict=True):
        score = f": score {item.score:.3f}"
        page.title(_MARGIN, top, "", heading(item), score, size=_HEADING_SIZE)
        _draw_row(page, row, top + _HEADING, count)
        top += height
    return page.figure


def _panels(item: ItemExplanation) -> list[tuple[str, Attribution]]:
    panels = [("the history", item.history), ("the item's words", item.words)]
    for item_id, words in list(item.history_words.items())[:1]:
        text = next(player.text for player in item.history.players if player.name == item_id)
        panels.append((f"words of {text}", words))
    return panels


def _bars(attribution: Attribution) -> int:
    return min(len(attribution.players), _MOST_BARS) + (len(attribution.players) > _MOST_BARS)


def _draw_row(page: _Page, row: Sequence[tuple[str, Attribution]], top: float, bars: int) -> None:
    """Panels side by side, with the same scale and bars of the same thickness."""
    scale = _scale(page, [one for _, one in row])
    for column, (name, attribution) in enumerate(row):
        left = _MARGIN + column * (_PANEL + _GAP)
        page.text(left, top, page.fitted(name, _PANEL, _TEXT_SIZE), color="#444444")
        change = f"from {attribution.empty:.3f} to {attribution.full:.3f}"
        change += "" if attribution.exact else ", sampled"
        page.text(left, top + 0.18, change, color="#444444")
        below = top + _PANEL_TITLE
        if not attribution.players:
            page.text(left, below, "nothing to read: the score is that of the fallback")
            continue
        axes = page.axes(left + _NAMES, below, _BARS, _BAR * bars)
        axes.set_ylim(bars - 0.4, -0.6)
        axes.set_xlim(*scale)
        _draw_bars(page, axes, attribution)


def _scale(page: _Page, row: Sequence[Attribution]) -> tuple[float, float]:
    """Ends of the axis, with room for the numbers behind the longest bars."""
    players = [player for one in row for player in one.players]
    low = min((player.value - player.error for player in players), default=0.0)
    high = max((player.value + player.error for player in players), default=0.0)
    low, high = min(low, 0.0), max(high, 0.0)
    numbers = (signed(player.value, 3) for player in players)
    number = max((page.measure(text, _NUMBER_SIZE) for text in numbers), default=0.0) + 2 * _PAD
    before, behind = (number if low < 0 else _PAD), (number if high > 0 or low == 0 else _PAD)
    inch = max(high - low, 1e-6) / (_BARS - before - behind)
    return low - before * inch, high + behind * inch


def _draw_bars(page: _Page, axes: Axes, attribution: Attribution) -> None:
    ranked = attribution.by_influence()
    shown, rest = ranked[:_MOST_BARS], ranked[_MOST_BARS:]
    names = [page.fitted(label(player, 200), _NAMES - 2 * _PAD, _TEXT_SIZE) for player in shown]
    values = [player.value for player in shown]
    errors = [player.error for player in shown]
    colours = [_UP if value >= 0 else _DOWN for value in values]
    places = range(len(names))
    axes.barh(places, values, color=colours, height=0.72)
    if not attribution.exact:
        axes.errorbar(values, places, xerr=errors, fmt="none", ecolor="#222222", elinewidth=0.9)
    axes.axvline(0, color="#222222", linewidth=0.8)
    if rest:  # a number and no bar: together they may dwarf every one
        names.append(f"{len(rest)} others")
        low, high = axes.get_xlim()
        together = f"{signed(sum(player.value for player in rest), 3)} together"
        _write_number(axes, together, 0.0, len(shown), side=1 if high >= -low else -1, color=_REST)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0, pad=72 * _PAD)
    axes.locator_params(axis="x", nbins=5, steps=[1, 2, 5, 10])
    axes.tick_params(axis="x", labelsize=_NUMBER_SIZE)
    axes.set_xlabel("part of the score")
    for place, (value, error) in enumerate(zip(values, errors, strict=True)):
        side = 1 if value >= 0 else -1
        end = value + side * error * (not attribution.exact)
        _write_number(axes, signed(value, 3), end, place, side=side, color="#222222")


def _write_number(axes: Axes, text: str, x: float, y: float, *, side: int, color: str) -> None:
    """Beside a point, to its right or, with side -1, to its left."""
    axes.annotate(
        text, (x, y), (72 * _PAD * side, 0), textcoords="offset points",
        ha="left" if side > 0 else "right", va="center", fontsize=_NUMBER_SIZE, color=color,
    )  # fmt: skip


class _Page:
    """A figure measured in inches from its upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height), dpi=_DPI)
        self._renderer = FigureCanvasAgg(self.figure).get_renderer()

    def measure(self, text: str, size: float, weight: str = "normal") -> float:
        """Width of a line in inches."""
        font = FontProperties(size=size, weight=weight)
        width, _, _ = self._renderer.get_text_width_height_descent(text, font, ismath=False)
        return float(width) / self.figure.dpi

    def fitted(self, text: str, width: float, size: float, weight: str = "normal") -> str:
        """The longest beginning of `text` that is no wider, with an ellipsis where it is cut."""
        line = " ".join(text.split())
        fits, too_long = 0, len(line) + 1
        while too_long - fits > 1:
            most = (fits + too_long) // 2
            narrow = self.measure(shortened(line, most), size, weight) <= width
            fits, too_long = (most, too_long) if narrow else (fits, most)
        return shortened(line, max(fits, 1))

    def title(
        self,
        left: float,
        top: float,
        before: str,
        text: str,
        behind: str,
        *,
        size: float,
        weight: str = "normal",
    ) -> None:
        """A line over the whole page, of which `text` is cut where it is too long."""
        room = self.width - 2 * _MARGIN - self.measure(before + behind, size, weight)
        line = before + self.fitted(text, room, size, weight) + behind
        self.text(left, top, line, fontsize=size, weight=weight)

    def text(self, left: float, top: float, text: str, **style: Any) -> None:
        self.figure.text(left / self.width, 1 - top / self.height, text, va="top", **style)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        bottom = self.height - top - height
        sides = (left / self.width, bottom / self.height)
        return self.figure.add_axes((*sides, width / self.width, height / self.height))
