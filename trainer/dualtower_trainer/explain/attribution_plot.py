"""An explanation as a picture: a row of bar panels for each item, on one scale within a row."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dualtower.errors import UnavailableError, UsageError
from dualtower.files import atomic_file
from dualtower.progress import say
from dualtower_trainer.explain.attribution import Attribution, Explanation, ItemExplanation
from dualtower_trainer.explain.attribution_tables import heading, label, shortened, signed

__all__ = ["check_plot", "write_plot"]

_FORMATS = (".png", ".svg", ".pdf")
_MOST_BARS = 10
_LABEL_CHARS = 34
_UP, _DOWN, _REST = "#2b6ca3", "#c8641b", "#5c616b"  # apart for colour-blind eyes as well
# fonts that have what DejaVu Sans lacks, for those who have them
_WIDE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Source Han Sans SC",
    "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback", "Unifont",
    "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "PingFang SC", "Hiragino Sans",
    "Arial Unicode MS",
)  # fmt: skip


def check_plot(path: Path) -> None:
    """Finds out before the work whether a plot can be written.

    Raises:
        UsageError: the name says no format that is written.
        UnavailableError: matplotlib is not installed.
    """
    if path.suffix.lower() not in _FORMATS:
        raise UsageError(f"--plot writes {', '.join(_FORMATS)}, got {path.name!r}")
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise UnavailableError(
            "--plot needs the package 'matplotlib', which is not installed; "
            "run: pip install 'dualtower[bench]'"
        ) from error


def write_plot(path: Path, explanation: Explanation) -> None:
    """Writes the picture, whole or not at all; the suffix of `path` says its format."""
    check_plot(path)
    import matplotlib
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "font.family": _fonts(),
        "font.size": 9.5,
        "text.parse_math": False,  # a price in dollars is no formula
        "figure.constrained_layout.w_pad": 0.12,
        "figure.constrained_layout.h_pad": 0.06,
        "svg.fonttype": "none",
        "svg.hashsalt": "dualtower",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
    }
    rows = [_panels(item) for item in explanation.items]
    heights = [1.5 + 0.27 * max(_bars(attribution) for _, attribution in row) for row in rows]
    with matplotlib.rc_context(style), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        width = 5.0 * max(map(len, rows))
        figure = Figure(figsize=(width, sum(heights) + 0.5), layout="constrained")
        read = f"{explanation.items_read} of {explanation.history_items} history items read"
        figure.suptitle(
            f"Why these items for {shortened(explanation.user_id, 60)}? ({read})",
            x=0.01, ha="left", fontsize=13, weight="bold",
        )  # fmt: skip
        parts = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, item, row in zip(parts, explanation.items, rows, strict=True):
            title = f"{heading(item)}: score {item.score:.3f}"
            part.suptitle(title, x=0.01, ha="left", fontsize=11)
            _draw_row(part, row)
        with atomic_file(path) as temporary:
            suffix = path.suffix.lower().removeprefix(".")
            metadata = {"Date": None} if suffix == "svg" else None
            figure.savefig(temporary, format=suffix, dpi=150, metadata=metadata)
    _report(caught, path)


def _panels(item: ItemExplanation) -> list[tuple[str, Attribution]]:
    panels = [("the history", item.history), ("the item's words", item.words)]
    for item_id, words in list(item.history_words.items())[:1]:
        text = next(player.text for player in item.history.players if player.name == item_id)
        panels.append((f"words of {shortened(text, 36)}", words))
    return panels


def _bars(attribution: Attribution) -> int:
    return min(len(attribution.players), _MOST_BARS) + (len(attribution.players) > _MOST_BARS)


def _draw_row(part: Any, row: Sequence[tuple[str, Attribution]]) -> None:
    """Panels side by side, with the same scale and bars of the same thickness."""
    players = [player for _, one in row for player in one.players]
    low = min((player.value - player.error for player in players), default=0.0)
    high = max((player.value + player.error for player in players), default=0.0)
    low, high = min(low, 0.0), max(high, 0.0)
    span = max(high - low, 1e-6)
    bars = max(1, *(_bars(one) for _, one in row))
    for axes, (name, attribution) in zip(
        part.subplots(1, len(row), squeeze=False)[0], row, strict=True
    ):
        _draw(axes, attribution)
        axes.set_ylim(bars - 0.4, -0.6)
        # room for the numbers behind the bars
        axes.set_xlim(low - span * (0.24 if low < 0 else 0.02), high + span * 0.24)
        axes.set_title(
            f"{name}\nfrom {attribution.empty:.3f} to {attribution.full:.3f}"
            + ("" if attribution.exact else ", sampled"),
            loc="left", fontsize=9.5, color="#444444",
        )  # fmt: skip


def _draw(axes: Any, attribution: Attribution) -> None:
    if not attribution.players:
        axes.set_axis_off()
        axes.text(0, 0.5, "nothing to read: the score is that of the fallback", va="center")
        return
    ranked = attribution.by_influence()
    shown, rest = ranked[:_MOST_BARS], ranked[_MOST_BARS:]
    names = [label(player, _LABEL_CHARS) for player in shown]
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
        together = signed(sum(player.value for player in rest), 3)
        axes.annotate(
            f"{together} together", (0, len(shown)), (4, 0),
            textcoords="offset points", va="center", fontsize=8, color=_REST,
        )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=5)
    axes.set_xlabel("part of the score")
    for place, (value, error) in enumerate(zip(values, errors, strict=True)):
        side = 1 if value >= 0 else -1
        axes.annotate(
            signed(value, 3), (value + side * error, place), (4 * side, 0),
            textcoords="offset points", ha="left" if side > 0 else "right", va="center",
            fontsize=8,
        )  # fmt: skip


def _fonts() -> list[str]:
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    return ["DejaVu Sans", *(name for name in _WIDE_FONTS if name in installed)]


def _report(caught: Sequence[warnings.WarningMessage], path: Path) -> None:
    """Says once that glyphs are missing, and hands on every other warning."""
    missing = [one for one in caught if "missing from font" in str(one.message)]
    if missing and path.suffix.lower() != ".svg":  # a viewer of SVG brings its own fonts
        say(
            f"  {path}: no installed font has some of the characters, so they are boxes; install "
            "a wider font (for Chinese, Japanese, Korean: Noto Sans CJK) or write .svg"
        )
    for one in caught:
        if one not in missing:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
