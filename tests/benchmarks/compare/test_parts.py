"""Limits, events, searches and LoadGen of two files: kept results, doctored by a known amount."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dualtower_benchmarks.client.figures import client_figures
from dualtower_benchmarks.compare.entries import entry_of
from dualtower_benchmarks.compare.part_rows import PartRows
from dualtower_benchmarks.scenario.figures import HIGHER, LOWER, Figure, PartRow
from dualtower_benchmarks.stats.noise import noise_between
from dualtower_benchmarks.training.figures import training_figures

KEPT = Path(__file__).resolve().parents[3] / "benchmarks" / "results"
PARTS = {"limit": "limits", "events": "events", "index": "index", "mlperf": "mlperf"}
Edit = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class Packed:
    """A kept file."""

    path: Path


def document_of(name: str) -> dict[str, Any]:
    return json.loads(gzip.decompress((KEPT / f"{name}.json.gz").read_bytes()))


@pytest.fixture
def kept(tmp_path: Path) -> Callable[..., Packed]:
    """A kept file under a name of its own, its part changed."""

    def of(name: str, called: str, edit: Edit = lambda part: None) -> Packed:
        document = document_of(name)
        edit(document[PARTS[name]])
        path = tmp_path / f"{called}.json.gz"
        path.write_bytes(gzip.compress(json.dumps(document).encode()))
        return Packed(path)

    return of


def limits(factor: float, *, row: int = 0) -> Edit:
    def edit(part: dict[str, Any]) -> None:
        found = part["rows"][row]
        for name in ("limit_qps", "broke_qps", "void_qps"):
            found[name] = found[name] and factor * found[name]
        found["contradictions"] = []

    return edit


def overload(share: float) -> Edit:
    def edit(part: dict[str, Any]) -> None:
        (row,) = (row for row in part["rows"] if row["kind"] == "overload")
        result = row["overload"]
        result["goodput_share"] = share
        result["steps"][-1]["goodput_qps"] = share * result["best_goodput_qps"]

    return edit


def figures_of(answer: Any, what: str) -> dict[str, dict[str, Any]]:
    (entry,) = (entry for entry in answer.found["entries"] if entry["what"].startswith(what))
    return {one["figure"]: one for one in entry["figures"]}


@pytest.mark.parametrize("name", PARTS)
def test_a_file_against_itself_has_nothing_beyond_noise(kept, compare, name: str) -> None:
    a, b = kept(name, "a"), kept(name, "b")
    answer = compare(a, b, "--json")
    assert answer.code == 0
    verdicts = answer.found["verdicts"]
    assert (verdicts["worse"], verdicts["better"], verdicts["noise not known"]) == (0, 0, 0)
    keys = {row["key"] for row in document_of(name)[PARTS[name]]["rows"]}
    assert {entry["key"] for entry in answer.found["entries"]} == keys
    assert answer.found["tests"] == 0, "none of them has a p"
    for entry in answer.found["entries"]:
        for one in entry["figures"]:
            assert one["change"] == (1.0 if one["by"] == "ratio" else 0.0)
            assert one["verdict"] == "within noise"


def test_a_limit_that_fell_by_a_third_is_named_and_fails(kept, compare) -> None:
    a, b = kept("limit", "a"), kept("limit", "b", limits(0.7))
    answer = compare(a, b, "--json")
    assert answer.code == 1
    assert answer.found["verdicts"]["worse"] == answer.found["verdicts"]["within noise"] == 1
    row = document_of("limit")["limits"]["rows"][0]
    one = figures_of(answer, "limit: grpc item_tower, batch 1, p99 ≤ 50 ms")["limit_qps"]
    assert (one["verdict"], one["better"]) == ("worse", "higher")
    assert one["change"] == pytest.approx(0.7)
    # the lowest that broke is below the highest that held, which a contradiction lowers
    lowest = min(broke for broke, _ in row["contradictions"])
    assert (one["a"]["low"], one["a"]["high"]) == (lowest, row["broke_qps"])
    assert one["high"] == pytest.approx(0.7 * row["broke_qps"] / lowest)
    text = compare(a, b)
    assert (text.code, "worse" in text.out.splitlines()[4]) == (1, True), text.out
    markdown = compare(a, b, "--markdown")
    assert markdown.out.startswith("### limit: 1 worse")
    assert "| **worse** | limit: grpc item_tower" in markdown.out
    assert "1,060/s | 745/s | ×0.700" in markdown.out
    assert compare(b, a).code == 0, "the other way round it is better"


@pytest.mark.parametrize(("machine", "verdict"), [(1.0, "worse"), (1.6, "within noise")])
def test_times_and_rates_have_to_change_by_more_than_the_machine(
    machine: float, verdict: str
) -> None:
    def rows(*figures: Figure) -> PartRows:
        row = {"key": "k", "repeat": 0, "engine": ""}
        return PartRows("limit", True, (PartRow("k", "one", row, figures),))

    def both(factor: float) -> PartRows:
        return rows(
            Figure("rate", "/s", HIGHER, 100 / factor, 99 / factor, 101 / factor),
            Figure("wait", "ms", LOWER, 10 * factor, 9.9 * factor, 10.1 * factor),
            Figure("memory", "MB", LOWER, 300 * factor, 299 * factor, 301 * factor),
        )

    entry = entry_of("k", both(1.0), both(1.5), (), (), 0.05, [], machine)
    found = {one.a.name: one.verdict for one in entry.figures}
    assert found == {"rate": verdict, "wait": verdict, "memory": "worse"}
    assert any("the machine itself" in note for note in entry.notes) == (machine > 1.05)


def test_brackets_that_overlap_are_one_limit(kept, compare) -> None:
    row = document_of("limit")["limits"]["rows"][1]
    width = row["broke_qps"] / row["limit_qps"]
    apart = limits(0.99 / width, row=1)
    touching = limits(1.01 / width, row=1)
    a = kept("limit", "a")
    options = ("--json", "--threshold", "0.01")
    assert compare(a, kept("limit", "b", touching), *options).code == 0
    assert compare(a, kept("limit", "c", apart), *options).code == 1
    assert compare(a, kept("limit", "c", apart), "--threshold", "0.2").code == 0


def test_a_bracket_without_an_end_and_one_where_nothing_held(kept, compare) -> None:
    def endless(part: dict[str, Any]) -> None:
        part["rows"][0].update(limit_qps=500.0, broke_qps=None, contradictions=[])

    def nothing(part: dict[str, Any]) -> None:
        part["rows"][0].update(limit_qps=None, broke_qps=25.0, contradictions=[])

    a = kept("limit", "a")
    one = figures_of(compare(a, kept("limit", "b", endless), "--json"), "limit: grpc item")
    assert one["limit_qps"]["verdict"] == "within noise", "it may be anything above 500"
    assert one["limit_qps"]["b"]["high"] is one["limit_qps"]["high"] is None
    answer = compare(a, kept("limit", "c", nothing), "--json")
    assert (answer.code, figures_of(answer, "limit: grpc item")["limit_qps"]["b"]["value"]) == (
        1, 0.0,
    )  # fmt: skip


def test_goodput_that_collapsed_needs_a_noise_to_be_judged(kept, compare) -> None:
    a, b = kept("events", "a", overload(0.95)), kept("events", "b", overload(0.1))
    alone = compare(a, b, "--json")
    assert alone.code == 0
    one = figures_of(alone, "overload")["goodput_share"]
    assert (one["verdict"], one["noise"], one["by"]) == ("noise not known", None, "difference")
    assert one["change"] == pytest.approx(-0.85)
    assert "noise is not known of 2 of" in alone.found["warnings"][0]
    text = compare(a, b)
    assert "noise not known" in text.out
    days = [kept("events", f"day{n}", overload(x)) for n, x in enumerate((0.93, 0.96, 0.97))]
    against = [f"--baseline={one.path}" for one in days]
    answer = compare(a, b, "--json", *against)
    assert answer.code == 1
    one = figures_of(answer, "overload")["goodput_share"]
    assert one["verdict"] == "worse"
    # six pairs of four runs are .01 .01 .02 .02 .03 .04 apart; by hand: 1.96 √2 · 1.0483 · 0.02
    assert one["noise"] == pytest.approx(1.95996 * 2**0.5 * 1.0483 * 0.02, rel=1e-6)
    assert "noise: also between 4 runs, A among them" in compare(a, b, *against).out
    wild = [kept("events", f"wild{n}", overload(x)) for n, x in enumerate((0.15, 0.5))]
    assert compare(a, b, *(f"--baseline={one.path}" for one in wild)).code == 0
    copies = compare(a, b, "--baseline", str(kept("events", "c", overload(0.95)).path))
    assert copies.code == 2, "a copy of A is no run of its own"


def test_repeats_are_a_noise_too(kept, compare) -> None:
    def twice(first: float, second: float) -> Edit:
        def edit(part: dict[str, Any]) -> None:
            (row,) = (row for row in part["rows"] if row["kind"] == "overload")
            part["rows"].append({**copy.deepcopy(row), "repeat": 1})
            for factor, one in zip((first, second), (row, part["rows"][-1]), strict=True):
                one["overload"]["best_goodput_qps"] *= factor

        return edit

    a = kept("events", "a", twice(1.0, 1.01))
    one = figures_of(compare(a, kept("events", "b", twice(0.5, 0.51)), "--json"), "overload")
    assert one["best_goodput_qps"]["verdict"] == "worse"
    one = figures_of(compare(a, kept("events", "c", twice(0.5, 1.0)), "--json"), "overload")
    assert one["best_goodput_qps"]["verdict"] == "within noise"
    (row,) = (row for row in document_of("events")["events"]["rows"] if row["kind"] == "overload")
    best = row["overload"]["best_goodput_qps"]
    assert one["best_goodput_qps"]["a"]["value"] == best, "the lower one of two"


def test_figures_with_intervals_have_their_direction(kept, compare) -> None:
    def worse(part: dict[str, Any]) -> None:
        row = next(row for row in part["rows"] if row["engine"] == "recommender_ivf")
        for end in ("value", "low", "high"):
            row["recall"][end] -= 0.2
            row["p50_ms"][end] *= 0.5

    answer = compare(kept("index", "a"), kept("index", "b", worse), "--json")
    assert answer.code == 1
    one = figures_of(answer, "index: recommender IVF effort 4, 100,000 items")
    assert {name: one[name]["verdict"] for name in ("recall", "p50_ms", "p99_ms")} == {
        "recall": "worse", "p50_ms": "better", "p99_ms": "within noise",
    }  # fmt: skip
    assert answer.found["verdicts"]["worse"] == 1


def test_a_swap_by_its_parts_and_void_attempts_by_none(kept, compare) -> None:
    def valid(factor: float) -> Edit:
        def edit(part: dict[str, Any]) -> None:
            part["rows"] = [row for row in part["rows"] if row["attempt"] == 0]
            swap = part["rows"][0]
            level = swap["swap"]["during"]["p99_ms"]
            level.update({end: factor * value for end, value in level.items()})

        return edit

    a = kept("events", "a", valid(1.0))
    answer = compare(a, kept("events", "b", valid(3.0)), "--json")
    assert answer.code == 1
    found = figures_of(answer, "swap")
    assert [name for name, one in found.items() if one["verdict"] == "worse"] == ["during_p99_ms"]

    def broken_off(part: dict[str, Any]) -> None:
        part["rows"][0]["void"] = "the load ended before change 3 of 3 was over"

    void = kept("events", "c", broken_off)
    answer = compare(a, void, "--json")
    assert answer.code == 0
    (swap,) = (one for one in answer.found["entries"] if one["what"].startswith("swap"))
    assert (swap["verdict"], swap["figures"]) == ("not comparable", [])
    assert swap["reasons"][0].startswith("void in B: the load ended before change 3 of 3")


def test_points_keep_their_p_beside_parts(write, compare) -> None:
    """A file of both: Holm's rule counts the measures of the points alone."""

    def with_limits(factor: float) -> Edit:
        def edit(document: dict[str, Any]) -> None:
            document["limits"] = document_of("limit")["limits"]
            limits(factor)(document["limits"])

        return edit

    a, b = write("a", seed=1), write("b", seed=2)
    alone = compare(a, b, "--json").found
    both = compare(a.change(with_limits(1.0)), b.change(with_limits(0.5)), "--json")
    assert both.code == 1
    assert both.found["points"] == alone["points"]
    assert both.found["tests"] == alone["tests"] == 5
    assert both.found["verdicts"] == {**alone["verdicts"], "worse": 1, "within noise": 4}
    assert "4 of 5" not in compare(a, b).out
    assert "5 of 5 common points and entries of parts compared: 1 worse" in compare(a, b).out
    other = b.change(lambda d: d["bundle"].update(fingerprint="f" * 64))
    answer = compare(a, other, "--json")
    assert answer.code == 2, "nothing of another bundle is compared"
    assert answer.found["verdicts"]["not comparable"] == 5
    with_index = [one.change(lambda d: d.update(index=document_of("index")["index"]))
                  for one in (a, other)]  # fmt: skip
    answer = compare(*with_index, "--json")
    entries = len(document_of("index")["index"]["rows"])
    assert answer.code == 0, "that needs none"
    assert answer.found["verdicts"]["within noise"] == entries


def test_what_one_file_has_alone_is_named(kept, compare) -> None:
    a = kept("limit", "a")
    b = kept("limit", "b", lambda part: part["rows"].pop())
    answer = compare(a, b, "--json")
    assert answer.code == 0
    assert answer.found["only_a"] == [document_of("limit")["limits"]["rows"][1]["key"]]
    assert "only in A: limit: grpc recommender, batch 1" in compare(a, b).out


def test_parts_of_which_none_is_alike_are_refused(kept, compare) -> None:
    answer = compare(kept("limit", "a"), kept("index", "b"))
    assert (answer.code, answer.out) == (2, "")
    assert "have no point in common" in answer.err


def span(value: float, width: float = 0.02) -> dict[str, float]:
    return {"value": value, "low": value * (1 - width), "high": value * (1 + width)}


def test_training_is_judged_by_ours_and_by_the_ratio() -> None:
    row = {
        "key": "k", "repeat": 0, "what": "encoder", "batch": 32, "chunk": 0, "tokens": 32,
        "encoder": "minilm", "threads_found": 2, "rounds": 5, "n": 10, "rows_per_s": span(40.0),
        "ratio": span(1.5),
    }  # fmt: skip
    found = {"rows": [{**row, "engine": name} for name in ("dualtower", "sentence-transformers")]}
    (ours,) = training_figures(found)
    assert ours.words == "dualtower: 32 pairs of 32 tokens, minilm, threads: 2"
    assert [(one.name, one.better, one.low) for one in ours.figures] == [
        ("rows_per_s", HIGHER, 40.0 * 0.98), ("ratio", HIGHER, 1.5 * 0.98),
    ]  # fmt: skip
    found["rows"][0]["rounds"] = 3  # three and three turns part by chance in 2 of 20 orders
    assert {one.low for one in training_figures(found)[0].figures} == {None}


def test_the_client_is_judged_and_the_official_way_is_not() -> None:
    facts = {"key": "k", "repeat": 0, "rounds": 9, "calls": 40, "starts": 7}
    found = {
        "codec": [{**facts, "case": "float32 to bytes", "client_us": span(20.0),
                   "official_us": span(90.0), "ratio": span(4.5)}],
        "starts": [{**facts, "side": side, "import_s": span(0.2), "cpu_s": 0.2,
                    "resident_bytes": 10**7} for side in ("python", "client", "official")],
        "installed": [{**facts, "side": side, "total_bytes": 10**8}
                      for side in ("client", "official")],
    }  # fmt: skip
    rows = client_figures(found)
    assert len({row.key for row in rows}) == len(rows) == 3
    directions = {one.name: one.better for row in rows for one in row.figures}
    assert directions == {
        "client_us": LOWER, "ratio": HIGHER, "import_s": LOWER, "cpu_s": LOWER,
        "resident_bytes": LOWER, "total_bytes": LOWER,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        (Figure("x_s", "s", LOWER, 1.0), Figure("x_s", "s", LOWER, 1.04), "within noise"),
        (Figure("x_s", "s", LOWER, 1.0), Figure("x_s", "s", LOWER, 2.0), "noise not known"),
        (Figure("x_s", "s", LOWER, 1.0, 0.9, 1.1), Figure("x_s", "s", LOWER, 1.3, 1.2, 1.4),
         "worse"),
        (Figure("x_s", "s", LOWER, 1.0, 0.9, 1.1), Figure("x_s", "s", LOWER, 1.3, 1.05, 1.4),
         "within noise"),
        (Figure("x", "", HIGHER, 1.0, 0.9, 1.1), Figure("x", "", HIGHER, 1.3, 1.2, 1.4), "better"),
        (Figure("x", "", HIGHER, 1.0, 0.9, 1.1), Figure("x", "", HIGHER, 1.3), "noise not known"),
        (Figure("x", "share", HIGHER, 1.0, 1.0, 1.0, least=0.01),
         Figure("x", "share", HIGHER, 0.98, 0.98, 0.98, least=0.01), "worse"),
        (Figure("x", "share", HIGHER, 1.0, 1.0, 1.0, least=0.01),
         Figure("x", "share", HIGHER, 0.995, 0.995, 0.995, least=0.01), "within noise"),
    ],
)  # fmt: skip
def test_a_verdict_is_that_of_the_intervals_and_the_margin(a: Figure, b: Figure, verdict) -> None:
    sides = [
        PartRows("limit", True, (PartRow("k", "what", {"repeat": 0}, [one]),)) for one in (a, b)
    ]
    assert entry_of("k", *sides, [], (), 0.05, []).verdict == verdict


def test_noise_between_runs_is_what_was_seen_or_what_two_runs_may_differ_by() -> None:
    assert noise_between([3.0]) is noise_between([]) is None
    assert noise_between([2.0, 2.0]) == 0.0
    assert noise_between([1.0, 1.5]) == pytest.approx(0.5 * 1.95996 * 2**0.5 * 1.0483)
    assert noise_between([0.0, 0.0, 0.0, 0.0, 9.0]) == 9.0
