"""The file of an explanation's picture: its format, its fonts, and characters that none has."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dualtower.errors import UnavailableError, UsageError
from dualtower.files import atomic_file
from dualtower.progress import say
from dualtower_trainer.explain.attribution import Explanation

__all__ = ["check_plot", "write_plot"]

_FORMATS = (".png", ".svg", ".pdf")
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

    from dualtower_trainer.explain.attribution_figure import draw_explanation

    style: dict[Any, Any] = {
        "font.family": _fonts(),
        "font.size": 9.5,  # what the figure measures by
        "text.parse_math": False,  # a price in dollars is no formula
        "svg.fonttype": "none",
        "svg.hashsalt": "dualtower",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
    }
    with matplotlib.rc_context(style), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure = draw_explanation(explanation)
        with atomic_file(path) as temporary:
            suffix = path.suffix.lower().removeprefix(".")
            metadata = {"Date": None} if suffix == "svg" else None
            figure.savefig(temporary, format=suffix, metadata=metadata)
    _report(caught, path)


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
