"""The page out of whole, partial and doctored results: well-formed, self-contained, escaped."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dualtower.errors import BundleError, BundleMismatch, UsageError
from dualtower_benchmarks.report import Written, write_report

VOID = {"meta", "br", "img", "hr", "input", "link"}
SVG_EMPTY = {"path", "use", "rect", "circle", "line"}
ROAD = ("findings", "quality", "edge", "gates", "training", "data", "reproduce")
MEASURED = ("open", "closed", "spoilt", "devices", "loadgen", "cases", "machine")


class Page(HTMLParser):
    """Collects what the checks need, and fails on a tag that is not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: Counter[str] = Counter()
        self.references: list[str] = []
        self.loads: list[str] = []
        self.tags: Counter[str] = Counter()
        self.labels: list[str | None] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def _note(self, tag: str, attributes: dict[str, str | None]) -> None:
        self.tags[tag] += 1
        if identifier := attributes.get("id"):
            self.ids[identifier] += 1
        for name, value in attributes.items():
            if name in {"href", "xlink:href", "src", "srcset", "action", "data", "poster"}:
                (self.references if str(value).startswith("#") else self.loads).append(str(value))
            self.references += re.findall(r"url\((#[^)]+)\)", value or "")
            if name == "aria-labelledby":
                self.references.append(f"#{value}")
        if tag == "svg":
            self.labels.append(attributes.get("aria-label"))


def report(
    out: Path, *results: Path, run: Path | None = None, bundle: Path | None = None
) -> tuple[Written, str, Page]:
    written = write_report(results, run=run, bundle=bundle, out=out)
    html = out.read_text(encoding="utf-8")
    return written, html, Page(html)


def everything(report_files, drawn, out: Path) -> tuple[Written, str, Page]:
    return report(out, drawn.path, run=report_files.run, bundle=report_files.bundle)


def test_whole_page_is_well_formed_and_loads_nothing(report_files, drawn, tmp_path: Path) -> None:
    written, html, page = everything(report_files, drawn, tmp_path / "report.html")
    assert not {one.partition(":")[0] for one in written.missing} & {
        "Ranking quality", "Files for a phone", "Gates", "Training", "Open loops",
    }  # fmt: skip
    assert written.size_bytes == (tmp_path / "report.html").stat().st_size < 2_000_000
    assert html.startswith("<!DOCTYPE html>") or html.lstrip().startswith("<!DOCTYPE html>")
    assert all(page.ids[section] == 1 for section in (*ROAD, *MEASURED))
    assert [identifier for identifier, times in page.ids.items() if times > 1] == []
    assert {reference[1:] for reference in page.references} <= set(page.ids)
    # nothing to load, and nothing that runs
    assert page.loads == []
    assert not re.search(r"@import|url\((?!#)", html)
    assert page.tags["script"] == page.tags["link"] == page.tags["img"] == page.tags["iframe"] == 0
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) == {"http://www.w3.org/2000/svg"}


def test_methods_have_the_titles_of_the_evaluation(report_files, tmp_path: Path) -> None:
    def doctor(document: dict) -> None:
        for scope in ("warm", "cold", "cold_in_full"):
            for row in document[scope]["methods"]:
                if row["method"] == "ease":
                    row |= {"method": "slim", "title": "SLIM, 1 %"}

    report_files.change(report_files.run / "evaluation.json", doctor)
    written, html, _ = report(tmp_path / "report.html", run=report_files.run)
    assert "above SLIM, 1 %, the highest of the others" in " ".join(written.findings)
    assert html.count("SLIM, 1 %") >= 3
    assert ">slim<" not in html


def test_it_says_what_the_future_is(report_files, tmp_path: Path) -> None:
    _, html, _ = report(tmp_path / "own.html", run=report_files.run)
    assert "Users of the test period, the full catalogue as candidates" in html
    later = {"later_log": {"rows": 9}, "candidates": {"items": 7}}
    report_files.change(report_files.run / "evaluation.json", lambda d: d.update(later))
    _, html, _ = report(tmp_path / "later.html", run=report_files.run)
    assert "Users of a later log, chosen items as candidates" in html


def test_it_says_how_the_towers_were_trained(report_files, tmp_path: Path) -> None:
    _, html, _ = report(tmp_path / "report.html", run=report_files.run)
    kept = "Recall@20 of known items 0.134, at the start 0.131; "
    kept += "Recall@20 of new items 0.420, at the start 0.400."
    assert f"Kept on validation: contrastive: {kept}" in html
    assert "no better validation for 3 evaluations" in html
    assert "3\xa0min 21\xa0s with all choices" in html


def test_every_figure_has_words(report_files, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    _, _, page = report(out, run=report_files.run, bundle=report_files.bundle)
    # 3 scopes, 1 by history, 2 towers by size and by latency, 4 curves
    assert page.tags["svg"] == page.tags["figure"] == page.tags["figcaption"] == 12
    assert all(label and len(label) > 40 for label in page.labels)


def test_files_for_a_phone_have_the_speed_of_the_measurements(
    report_files, drawn, tmp_path: Path
) -> None:
    _, html, _ = everything(report_files, drawn, tmp_path / "report.html")
    (row,) = re.findall(r"<tr[^>]*>\s*<th[^>]*>item_tower\s+dynamic_int8.*?</tr>", html, re.S)
    for threads in (1, 2):
        values = sorted(
            one["p50_ms"]["value"] for one in drawn.document["points"]
            if (one["variant"], one["threads"]) == ("dynamic_int8", threads)
        )  # fmt: skip
        assert f"<td>{values[1]:.2f}</td>" in row


def test_page_follows_light_and_dark_and_narrow_screens(
    report_files, drawn, tmp_path: Path
) -> None:
    _, html, page = everything(report_files, drawn, tmp_path / "report.html")
    assert 'name="viewport" content="width=device-width, initial-scale=1"' in html
    assert "prefers-color-scheme: dark" in html
    # all colours of the figures are the page's own, and every one has a value in both modes
    for svg in re.findall(r"<svg.*?</svg>", html, re.S):
        assert not re.search(r"#[0-9a-fA-F]{6}", svg)
    used = set(re.findall(r"var\((--[\w-]+)\)", html))
    light, dark = re.findall(r":root \{(.*?)\}", html, re.S)
    assert used <= set(re.findall(r"(--[\w-]+):", light))
    assert {name for name in used if name.startswith("--series")} <= set(
        re.findall(r"(--[\w-]+):", dark)
    )
    # a wide table scrolls in a box of its own
    assert page.tags["table"] == html.count('<div class="scroll"')


def test_series_colours_can_be_read_on_their_paper() -> None:
    """WCAG 2.2: 3:1 for graphics, 4.5:1 for text."""
    import dualtower_benchmarks.report as package

    css = Path(package.__file__).with_name("page.css").read_text()
    for block in re.findall(r":root \{(.*?)\}", css, re.S):
        colours = dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6});", block))
        for paper in ("--paper", "--panel"):
            for name, colour in colours.items():
                if name.startswith("--series"):
                    assert contrast(colour, colours[paper]) >= 3.0, name
                if name in {"--ink", "--muted", "--accent"}:
                    assert contrast(colour, colours[paper]) >= 4.5, name


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


EVIL = "<script>alert('x')</script> & \"$a_b$\" <b onmouseover=x>"


def test_text_of_the_user_is_never_markup(report_files, drawn, tmp_path: Path) -> None:
    def manifest(document: dict) -> None:
        document["command"] = EVIL
        document["gates"][0] |= {"name": EVIL, "detail": EVIL}
        document["variants"][0] |= {"variant": EVIL, "reason": EVIL, "verdict": EVIL}
        document["created"] = EVIL

    def evaluation(document: dict) -> None:
        document["warm"]["methods"][1]["method"] = EVIL

    def data_report(document: dict) -> None:
        document[EVIL] = {EVIL: EVIL}

    report_files.change(report_files.bundle / "bundle.json", manifest)
    report_files.change(report_files.run / "evaluation.json", evaluation)
    report_files.change(report_files.run / "data_report.json", data_report)
    _, html, page = everything(report_files, drawn, tmp_path / "report.html")
    assert page.tags["script"] == page.tags["b"] == 0
    assert "<script" not in html
    assert EVIL in page.texts["code"][0]
    assert EVIL[:17] in " ".join(page.texts["text"])  # in a figure, where names are cut
    assert EVIL in " ".join(label or "" for label in page.labels)


def test_findings_are_computed_from_the_data(report_files, drawn, tmp_path: Path) -> None:
    written, html, page = everything(report_files, drawn, tmp_path / "report.html")
    text = " ".join(written.findings).replace("\xa0", " ")
    evaluation = json.loads((report_files.run / "evaluation.json").read_text())
    assert "0.1340 ± 0.0045" in text
    assert "0.0060 above EASE" in text
    assert "2.0 standard errors of the paired difference" in text
    assert f"{evaluation['warm']['users']:,} users" in text
    assert "at random 0.0049" in text
    assert "15.2 % of the lists" in text
    assert "passed all of its 3 gates" in text
    assert "22.8 MB (25.4 % of float32)" in text
    assert "no GPU here" in text
    assert page.tags["li"] == len(written.findings) == 4 + 5

    def worse(document: dict) -> None:
        for row in document["warm"]["methods"]:
            row.pop("reference_minus_this_recall_at_20", None)
            if row["method"] == "dualtower":
                row["recall_at_20"] = {"value": 0.100, "se": 0.004}

    def fail(document: dict) -> None:
        document["gates"][1]["passed"] = False

    report_files.change(report_files.run / "evaluation.json", worse)
    report_files.change(report_files.bundle / "bundle.json", fail)
    written, html, _ = everything(report_files, drawn, tmp_path / "worse.html")
    text = " ".join(written.findings)
    assert "0.0280 below EASE" in text
    assert "two independent means" in text
    assert "1 of the bundle's 3 gates failed: warm-up replay" in text
    assert "FAILED" in html


def test_exposure_aware_lists_have_a_price_and_are_no_rival(
    report_files, drawn, tmp_path: Path
) -> None:
    def fairer(document: dict) -> None:
        rows = document["warm"]["methods"]
        ours = next(row for row in rows if row["method"] == "dualtower")
        ours["gini_at_20"] = 0.81
        rows.append(
            {
                **ours,
                "method": "dualtower_fair",
                "title": "dualtower, exposure weight 0.002",
                "variant_of": "dualtower",
                "gini_at_20": 0.62,
                "recall_at_20": {"value": 0.133, "se": 0.0045},
                "reference_minus_this_recall_at_20": {"value": 0.001, "se": 0.0004},
            }
        )

    report_files.change(report_files.run / "evaluation.json", fairer)
    written, _, _ = everything(report_files, drawn, tmp_path / "report.html")
    text = " ".join(written.findings).replace("\xa0", " ")
    assert "0.0060 above EASE" in text, "the highest of the others is a baseline"
    price = next(sentence for sentence in written.findings if "even exposure" in sentence)
    assert "lose 0.0010 ± 0.0004 of their Recall@20" in price.replace("\xa0", " ")
    assert "from 0.810 to 0.620" in price
    others = next(sentence for sentence in written.findings if "held-out future" in sentence)
    assert "exposure weight" not in others


@pytest.mark.parametrize("kept", ["run", "bundle"])
def test_parts_that_are_missing_are_said(report_files, tmp_path: Path, kept: str) -> None:
    written, html, page = report(tmp_path / "report.html", **{kept: getattr(report_files, kept)})
    assert written.findings
    said = " ".join(written.missing)
    assert "no results given (measure the bundle: dualtower bench all BUNDLE)" in said
    assert ("no bundle given" in said) == (kept != "bundle")
    assert ("no run given" in said) == (kept != "run")
    assert html.count('<p class="missing">') == len(written.missing)
    assert all(page.ids[section] == 1 for section in (*ROAD, "measured"))


def test_a_run_without_evaluation_names_the_command(report_files, tmp_path: Path) -> None:
    (report_files.run / "evaluation.json").unlink()
    written, _, _ = report(tmp_path / "report.html", run=report_files.run)
    assert any("dualtower evaluate" in reason for reason in written.missing)


def test_results_that_the_bundle_kept_stand_in_for_the_run(report_files, tmp_path: Path) -> None:
    kept = json.loads((report_files.run / "evaluation.json").read_text())
    report_files.change(report_files.bundle / "bundle.json", lambda d: d.update(evaluation=kept))
    written, _, _ = report(tmp_path / "report.html", bundle=report_files.bundle)
    assert any("0.134" in finding for finding in written.findings)


def test_measurements_of_another_bundle_are_refused(report_files, results, tmp_path: Path) -> None:
    results.change(lambda d: d["bundle"].update(fingerprint="f" * 64))
    with pytest.raises(BundleMismatch, match="dualtower bench all BUNDLE"):
        everything(report_files, results, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_broken_inputs_are_named(report_files, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    with pytest.raises(UsageError, match="--run RUN or --bundle"):
        report(out)
    with pytest.raises(UsageError, match="dualtower bench run"):
        report(out, tmp_path / "nowhere.json")
    with pytest.raises(UsageError, match="no folder of a run"):
        report(out, run=tmp_path / "nowhere")
    with pytest.raises(BundleError, match="is no bundle"):
        report(out, bundle=tmp_path)
    (report_files.run / "training.json").write_text("[1]")
    with pytest.raises(UsageError, match="no JSON object"):
        report(out, run=report_files.run)
