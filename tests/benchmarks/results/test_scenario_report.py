"""The page of scenario results: five sentences out of the data, panels that say what they show."""

from __future__ import annotations

import json
import re
import statistics
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from dualtower.cli import main
from dualtower.errors import UsageError
from dualtower_benchmarks.cli import bench
from dualtower_benchmarks.load.raw_store import read_raw, write_raw
from dualtower_benchmarks.report import Written, write_report
from dualtower_benchmarks.report.scenario.devices import device_panels, devices_table
from dualtower_benchmarks.report.scenario.differences import differences_table
from dualtower_benchmarks.report.scenario.distribution_figure import curve
from dualtower_benchmarks.report.scenario.findings import findings_of
from dualtower_benchmarks.report.scenario.inputs import read_inputs
from dualtower_benchmarks.report.scenario.tables import cases_table

VOID_TAGS = {"meta", "br", "img", "hr", "input", "link"}


class Page(HTMLParser):
    """Ids, references and what would be loaded; fails on tags that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.values: list[str] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        names = {"href", "xlink:href", "src", "srcset", "action", "data", "poster"}
        self.values += [str(value) for name, value in attrs if name in names]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def report(tmp_path: Path, *results) -> tuple[Written, str]:
    written = write_report([one.path for one in results], out=tmp_path / "r.html")
    return written, (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(drawn, tmp_path_factory) -> tuple[Written, str]:
    return report(tmp_path_factory.mktemp("page"), drawn)


def test_it_is_whole_and_loads_nothing(page) -> None:
    written, html = page
    parsed = Page(html)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert all(value.startswith("#") and value[1:] in parsed.ids for value in parsed.values)
    assert not re.search(r"@import|url\((?!#)", html)
    assert not {"script", "link", "img", "iframe"} & set(parsed.tags)
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) == {"http://www.w3.org/2000/svg"}
    assert written.size_bytes < 1_500_000


def test_figures_say_offered_load_hardware_and_count(page) -> None:
    _, html = page
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", html, re.S)
    assert len(captions) == html.count("<svg ") > 25
    for caption in captions:
        assert re.search(r"n\xa0=\xa0[\d,]+", caption), caption
        assert "Some CPU, " in caption
        assert "no GPU" in caption
        assert re.search(
            r"requests a second offered|client|caller|Poisson \d|no load offered", caption
        ), caption
    assert all(len(label) > 40 for label in re.findall(r'aria-label="([^"]+)" xmlns', html))
    for svg in re.findall(r"<svg.*?</svg>", html, re.S):
        assert not re.search(r"#[0-9a-fA-F]{6}", svg), "colours are the page's"
    used = set(re.findall(r"var\((--[\w-]+)\)", html))
    for block in re.findall(r":root \{(.*?)\}", html, re.S):
        assert used <= set(re.findall(r"(--[\w-]+):", block))


def test_it_opens_with_five_sentences_of_the_data(drawn, page) -> None:
    written, html = page
    assert len(written.findings) == 5
    assert html.count("<li>") == 5
    for sentence in written.findings:
        assert sentence.endswith(".")
        assert re.search(r"\.\s+[A-Z]", sentence) is None, "one sentence each"
    rates, waits, cost, edge, spoilt = (text.replace("\xa0", " ") for text in written.findings)
    rows = drawn.document["points"]
    best = max(
        statistics.median(r["rows_per_s"] for r in rows if r["key"] == key)
        for key in {r["key"] for r in rows if r["driver"] == "grpc" and r["loop"] == "closed"}
    )
    assert f"gRPC item_tower {best:,.0f}"[:-1] in rates
    assert "(batch 16, 4 clients" in rates
    assert "1 of 3 offered rates with a p99 stayed within their SLO" in waits
    assert "the highest that did was 100 requests a second of 1 row" in waits
    assert re.search(r"1\.1\d \(\d.*over the|1\.[12]\d \(1\.\d+–1\.\d+\) times", cost)
    assert "dynamic_int8 2 threads" in edge
    failed = sum(sum(row["errors"].values()) for row in rows)
    assert "no GPU here; of 54 points 3 are void" in spoilt
    assert f"{failed} failed and 12 were skipped, and 1 case was absent" in spoilt


def keep(results, kept: Any, **changes: Any) -> None:
    """Leaves only some points, with their requests."""
    raw = read_raw(results.raw_path)
    rows = [row for row in results.document["points"] if kept(row)]
    write_raw(results.raw_path, [raw[row["point"]] for row in rows])
    rows = [{**row, "point": place} for place, row in enumerate(rows)]
    results.change(lambda d: d.update({"points": rows, **changes}))


@pytest.fixture
def few(results):
    """One open load and one closed, of three repeats, and no absent case."""
    keep(results, lambda r: (r["driver"], r["batch_rows"]) == ("grpc", 1)
         and (r["rate_qps"] == 100 or r["concurrency"] == 4), absent=[])  # fmt: skip
    return results


def test_what_was_not_measured_is_said_in_the_same_five(results, tmp_path: Path) -> None:
    keep(results, lambda r: (r["variant"], r["threads"]) == ("float32", 1), absent=[])
    found = findings_of(read_inputs([results.path]))
    assert not any("not measured" in sentence.lower() for sentence in found)
    assert found[1].startswith("In 95 of 100 cases two runs of the same differ by up to ")
    assert found[2].startswith("The longest p99 of a load: ")
    assert found[3].startswith("The shortest p50 of a closed loop: ")
    results.change(lambda d: d.update(noise=None))
    written, html = report(tmp_path, results)
    assert len(written.findings) == 5
    assert not any("not measured" in sentence.lower() for sentence in written.findings)
    assert written.findings[3].startswith("drawn took 3\xa0min 20\xa0s on Some CPU, ")
    assert "GPU: not asked for; of 3 points 0 are void" in written.findings[-1]
    assert {name.partition(":")[0] for name in written.missing} >= {
        "Open loops", "Distribution of latency", "GPU against CPU",
    }  # fmt: skip
    Page(html)


def test_one_repeat_has_intervals_and_no_noise(few, tmp_path: Path) -> None:
    few.change(lambda d: d["scenario"]["settings"].update(repeats=1))
    keep(few, lambda row: row["repeat"] == 0, noise=None)
    _, html = report(tmp_path, few)
    assert "with a line for the 95 % interval" in html
    assert "Nothing was measured twice" in html
    few.change(lambda d: d.pop("pace"))  # as files from before have none
    _, html = report(tmp_path, few)
    assert "one repeat tells nothing of it" in html


def test_the_machines_own_pace_is_drawn_and_said(drawn, tmp_path: Path) -> None:
    written, html = report(tmp_path, drawn)
    points = drawn.document["points"]
    assert written.findings[-1].endswith(
        f"; the machine's own pace changed by up to ×1.50 within a run (n\xa0=\xa0{len(points)})."
    )
    assert "The same work, timed between the cases" in html
    (run,) = read_inputs([drawn.path]).runs
    table = cases_table(run)
    place = table.head.index("pace")
    by_case = {case["key"]: row[place] for case, row in zip(run.cases, table.rows, strict=True)}
    slow = {point["key"] for point in points[3:7]}
    assert {by_case[key] for key in slow} == {"×1.00–1.50"}
    assert {pace for key, pace in by_case.items() if key not in slow} == {"×1.00"}
    done = CliRunner().invoke(bench, ["markdown", str(drawn.path)])
    assert "own pace within ×1.50" in done.output.splitlines()[-1]


def test_differences_within_noise_are_grey(results) -> None:
    counts = []
    for ratio in (1.0, 1.2, 9.0):
        results.change(lambda d, r=ratio: d["noise"]["pooled"]["p50_ms"].update(two_runs=r))
        (run,) = read_inputs([results.path]).runs
        table = differences_table(run)
        counts.append(len(table.greyed))
    assert counts[0] == 0 < counts[1] < counts[2] == len(table.rows) == 8


def test_a_gpu_beside_the_cpu(results) -> None:
    raw = list(read_raw(results.raw_path).values())

    def doctor(document: dict[str, Any]) -> None:
        document["absent"] = []
        for row in [r for r in document["points"] if r["driver"] == "saved_model"]:
            factor = 0.5 if row["batch_rows"] == 1 else 4.0
            document["points"].append(
                {**row, "device": "GPU", "device_found": "GPU", "device_name": "Some GPU",
                 "point": len(raw), "key": row["key"] + "g", "subject": row["subject"] + "g",
                 "rows_per_s": row["rows_per_s"] * factor}
            )  # fmt: skip
            raw.append(raw[row["point"]])

    results.change(doctor)
    write_raw(results.raw_path, raw)
    inputs = read_inputs([results.path])
    (run,) = inputs.runs
    rates, waits, gpu, cost, spoilt = findings_of(inputs)
    assert "most rows" in rates
    assert "open loops" in waits
    assert "p50 of one client on the GPU over that on the CPU: 1.00 (" in gpu
    assert (
        "item_tower with 1 client has more rows a second on the GPU from batch 2.52 on" in gpu
    )  # 16^(1/3)
    assert "over the SavedModel" in cost
    assert spoilt.startswith("Of 66 points ")
    assert [row[5] for row in devices_table(run).rows] == ["0.500", "0.500", "4.00", "4.00"]
    panels = device_panels(run)
    assert ["CPU and GPU, 4 clients" in panel.svg for panel in panels] == [False, True]


def test_a_gpu_that_is_not_there_says_so_in_its_column(drawn) -> None:
    (run,) = read_inputs([drawn.path]).runs
    (row,) = devices_table(run).rows
    assert row[4] == "no GPU here"


def test_curves_are_percentiles_as_far_as_the_samples_go() -> None:
    latency_ns = np.random.default_rng(3).lognormal(16, 0.4, 5000).astype(np.int64)
    places, found_ms = curve(latency_ns, confidence=0.95)
    shares = 1 - 1 / places
    for share, found in zip(shares, found_ms, strict=True):
        assert np.count_nonzero(latency_ns <= found * 1e6 + 0.5) >= share * 5000 - 1e-6
        assert np.count_nonzero(latency_ns < found * 1e6 - 0.5) < share * 5000
    assert 0.999 <= shares[-1] < 0.9993  # p99.9 takes 3,688 samples, p99.93 more than 5,000
    assert not len(curve(latency_ns[:3], confidence=0.95)[0])


EVIL = "<script>alert('x')</script> & \"$a_b$\" <b onmouseover=x>"


def test_text_of_the_run_is_never_markup(results, tmp_path: Path) -> None:
    keep(results, lambda r: r["rate_qps"] == 150 or r["driver"] == "litert")

    def doctor(document: dict[str, Any]) -> None:
        document["command"] = document["scenario"]["settings"]["title"] = EVIL
        document["machine"] |= {"cpu_model": EVIL, "git_commit": EVIL}
        document["absent"][0] |= {"reason": EVIL}
        document["servers"][0] |= {"flags": EVIL, "command": [EVIL]}
        for row in document["points"]:
            row["variant"] += EVIL
            if row["rate_qps"] == 150:
                row |= {"errors": {EVIL: 3}, "void": row["void"] and EVIL}

    results.change(doctor)
    _, html = report(tmp_path, results)
    assert not {"script", "b"} & set(Page(html).tags)


def test_several_files_on_one_page(few, tmp_path: Path) -> None:
    other = type(few)(few.path.with_name("other.json"))
    other.path.write_text(json.dumps(few.document))
    other.change(lambda d: d["scenario"]["settings"].update(title="Another"))
    written, html = report(tmp_path, few, other)
    assert "of 12 points 0 are void" in written.findings[-1]
    assert re.search(r"<h1>dualtower benchmarks on Some CPU, \d+ cores?, no GPU</h1>", html)
    for title in ("Drawn latencies", "Another"):
        assert f">{title}</td>" in html, "the machine's part lists what is on the page"
    parsed = Page(html)
    assert len(parsed.ids) == len(set(parsed.ids))
    # two files of one scenario are told apart by the files' names
    assert [run.among for run in read_inputs([few.path, other.path]).runs] == ["drawn", "other"]
    with pytest.raises(UsageError, match="given twice"):
        read_inputs([few.path, few.path])


def test_the_command(few, tmp_path: Path, capsys) -> None:
    out = tmp_path / "page.html"
    main(["report", str(few.path), "--out", str(out), "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["findings"]) == 5
    assert out.stat().st_size == printed["size_bytes"]
    with pytest.raises(SystemExit) as end:
        main(["report", str(tmp_path / "none.json"), str(few.path)])
    assert end.value.code == 2
    assert "cannot be read" in capsys.readouterr().err


def test_too_few_requests_for_a_p99_give_medians(few) -> None:
    few.change(lambda d: [row.update(p99_ms=None) for row in d["points"]])
    text = findings_of(read_inputs([few.path]))[1].replace("\xa0", " ")
    (value,) = re.findall(r"the p50 was ([\d.]+) ms at 100 requests a second of 1 row", text)
    medians = [r["p50_ms"]["value"] for r in few.document["points"] if r["rate_qps"] == 100]
    assert float(value) == pytest.approx(statistics.median(medians), rel=0.01)
