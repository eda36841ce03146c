"""Tables and pictures of explanations that are hard to show."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib
import pytest
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from dualtower.errors import UsageError
from dualtower_trainer.explain.attribution import (
    Attribution,
    Explanation,
    ItemExplanation,
    Player,
)
from dualtower_trainer.explain.attribution_figure import draw_explanation
from dualtower_trainer.explain.attribution_plot import check_plot, write_plot
from dualtower_trainer.explain.attribution_tables import (
    explanation_tables,
    label,
    shortened,
    signed,
)

LONG = "A very long title of " + "many words " * 20
TEXTS = ("北海道 生乳チョコレート $5 off_{x} \\frac{", LONG, "<b>&amp; شاي", "plain")


def attribution(values: list[float], *, kind: str = "item", exact: bool = True) -> Attribution:
    players = tuple(
        Player(kind, f"i{place}", TEXTS[place % 4] if kind == "item" else f"w{place}", value, 0.01)
        for place, value in enumerate(values)
    )
    return Attribution(players, 0.1, 0.1 + sum(values), exact)


def explanation(items: int, values: list[float], *, exact: bool = True) -> Explanation:
    words = attribution([0.1, -0.2], kind="word")
    return Explanation(
        "user $1_000",
        200,
        len(values),
        tuple(
            ItemExplanation(
                item_id=f"i{place}",
                text=TEXTS[place % 4],
                rank=place + 1,
                score=0.5,
                history=attribution(values, exact=exact),
                words=words,
                history_words={"i0": words} if values else {},
            )
            for place in range(items)
        ),
    )


CASES = {
    "one": explanation(1, [0.3, -0.1]),
    "five": explanation(5, [0.01 * place for place in range(10)]),
    "two hundred": explanation(1, [0.001 * place - 0.05 for place in range(200)], exact=False),
    "nobody": explanation(2, []),
    "zeros": explanation(1, [0.0, 0.0]),
    "against": explanation(3, [-0.4, -0.03, -0.2]),
    "many against": explanation(2, [-0.01 * place for place in range(1, 31)], exact=False),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_picture_is_written_whole(case: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"why.{suffix}"
    write_plot(path, CASES[case])
    content = path.read_bytes()
    assert content[:4] == b"\x89PNG" or b"<svg" in content[:2000]
    assert list(tmp_path.iterdir()) == [path]


def test_texts_reach_the_picture_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "why.svg"
    write_plot(path, CASES["five"])
    shown = "".join(ElementTree.parse(path).getroot().itertext())
    assert "北海道 生乳チョコレート $5 off_{x} \\frac{" in shown  # no mathematics was made of it
    assert "<b>&amp; شاي" in shown
    assert "Why these items for user $1_000? (10 of 200 history items read)" in shown
    assert LONG not in shown
    assert re.search("A very long title of ma[a-z ]{0,9}…", shown)


def test_two_pictures_of_one_explanation_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        write_plot(tmp_path / name, CASES["one"])
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_missing_glyph_is_said_once(tmp_path: Path, capsys) -> None:
    one = explanation(1, [0.1])
    strange = Explanation("\U00013000\U0001b170", 1, 1, one.items)  # few have a font for these
    write_plot(tmp_path / "why.png", strange)
    assert capsys.readouterr().err.count("no installed font") == 1
    write_plot(tmp_path / "why.svg", strange)
    assert capsys.readouterr().err == ""


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("case", CASES)
def test_no_text_leaves_the_page_or_covers_another(case: str) -> None:
    with matplotlib.rc_context({"font.size": 9.5, "text.parse_math": False}):
        figure = draw_explanation(CASES[case])
        figure.canvas.draw()
    page = figure.bbox
    not_drawn = {  # matplotlib makes labels for ticks beyond the ends of an axis, too
        label
        for axes in figure.axes
        for tick, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
        if not axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]
    }
    texts = [text for text in figure.findobj(Text) if text.get_text() and text not in not_drawn]
    boxes = {text: text.get_window_extent() for text in texts}
    assert len(boxes) > 5
    for text, box in boxes.items():
        assert box.x0 >= page.x0, f"{text.get_text()!r} leaves at the left"
        assert box.x1 <= page.x1, f"{text.get_text()!r} leaves at the right"
        assert page.y0 <= box.y0, f"{text.get_text()!r} leaves at the bottom"
        assert box.y1 <= page.y1, f"{text.get_text()!r} leaves at the top"
    for one, other in itertools.combinations(boxes, 2):
        shared = Bbox.intersection(boxes[one], boxes[other])
        covered = shared is not None and min(shared.width, shared.height) > 1.5  # pixels
        assert not covered, f"{one.get_text()!r} and {other.get_text()!r}"


@pytest.mark.parametrize("name", ["why.gif", "why", "png"])
def test_other_formats_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=rf"writes \.png, \.svg, \.pdf, got '{re.escape(name)}'"):
        check_plot(Path(name))


def test_without_matplotlib_the_extra_is_named_before_any_work() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\nfrom dualtower.cli import main\n"
        "main(['explain', '--run', 'no-run', '--user', 'u', '--plot', 'why.png'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'dualtower[bench]'" in done.stderr


def test_tables_show_the_strongest_and_sum_the_rest() -> None:
    values = [0.001 * place - 0.05 for place in range(200)]
    first, words, _ = explanation_tables(CASES["two hundred"])
    assert first.title == f"1. {TEXTS[0]} (i0)"
    head, *rows, rest, score = first.rows
    assert head == ("nothing known of them", "", "0.1000", "")
    assert [row[1] for row in rows] == [f"i{place}" for place in range(199, 191, -1)]
    assert rows[0][2:] == ("+0.1490", "±0.0100")
    assert rest == ("192 other items", "", f"{sum(values[:192]):+.4f}", "")
    assert score[2] == f"{0.1 + sum(values):.4f}"
    assert [row[0] for row in words.rows] == ["no word", "w1", "w0", "score"]


def test_names_are_one_short_line() -> None:
    assert shortened("a\n b\t c", 5) == "a b c"
    assert shortened("abcdef", 5) == "abcd…"
    assert label(Player("id", "i1", "text", 0.1, 0), 10) == "(its id)"
    assert label(Player("word", "tea", "", 0.1, 0), 10) == "tea"
    assert [signed(value, 2) for value in (0.126, -0.126, 0.001, -0.001)] == [
        "+0.13", "-0.13", "0.00", "0.00",
    ]  # fmt: skip
