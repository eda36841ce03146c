"""Which five sentences open a page: what is there, by a fixed order; what is missing fills up."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from dualtower_benchmarks.report.scenario.findings import choice, findings_of, limits
from dualtower_benchmarks.report.scenario.findings.index import exact, index
from dualtower_benchmarks.report.scenario.findings.machine import noise
from dualtower_benchmarks.report.scenario.findings.spoilt import spoilt
from dualtower_benchmarks.report.scenario.findings.training import training
from dualtower_benchmarks.report.scenario.inputs import Inputs, read_inputs
from dualtower_benchmarks.report.scenario.others import Other

KEPT = Path(__file__).parents[3] / "benchmarks" / "results"
MACHINE = {
    "cpu_model": "Some CPU", "usable_cores": 2, "gpu": "no GPU", "load_average_1_min_before": 0.1,
}  # fmt: skip


def with_part(kind: str, **found) -> Inputs:
    return Inputs([], [Other(kind, found, {"machine": MACHINE}, "f")])


def test_a_page_with_little_says_more_of_it(monkeypatch) -> None:
    """Kinds first, then more of them, then what is missing, in one sentence; spoilt is last."""

    def say(text: str):
        return lambda _: text

    first, second, further = say("First."), say("Second."), [say(f"{n}.") for n in range(3)]
    missing = {say(""): "one thing", first: "the first", say("x"): "another"}
    monkeypatch.setattr(choice, "MISSING", missing)
    last = "GPU: not asked for; no load of a sweep is among these results."
    for candidates, more, expected in (
        ((first, second, *further), (), ["First.", "Second.", "0.", "1."]),
        ((first, say(""), second), further, ["First.", "Second.", "0.", "1."]),
        ((first,), further, ["First.", "0.", "1.", "2."]),
        ((first,), further[:2], ["First.", "0.", "1.", "Not measured: one thing; another."]),
        ((first,), (), ["First.", "Not measured: one thing; another."]),
    ):
        monkeypatch.setattr(choice, "CANDIDATES", candidates)
        monkeypatch.setattr(choice, "FURTHER", tuple(more))
        assert findings_of(Inputs([])) == [*expected, last]


def kept() -> list[Path]:
    return sorted(KEPT.glob("*.json.gz"))


@pytest.mark.parametrize("path", kept(), ids=lambda path: path.name)
def test_kept_results_alone_open_with_five_of_their_own(path: Path) -> None:
    inputs = read_inputs([path])
    found = findings_of(inputs)
    assert len(found) == len(set(found)) == 5
    assert not any("not measured" in text.lower() for text in found)
    assert all(re.search(r"\.\s+[A-Z]", text) is None and text.endswith(".") for text in found)
    if inputs.of("limits", "mlperf", "index"):
        assert all("on AMD EPYC (AVX-512 VNNI), 2 cores, no GPU" in text for text in found[:4])


def test_a_soak_is_told_with_what_its_callers_waited_for() -> None:
    inputs = read_inputs([KEPT / "soak.json.gz"])
    (row,) = inputs.documents[0]["events"]["rows"]
    whole = row["soak"]["whole"]
    (text,) = (text for text in findings_of(inputs) if text.startswith("In 30.0 min of "))
    for name in ("p50", "p90", "p99"):
        assert f"{name} {whole[f'{name}_ms']['value']:.1f} ms (" in text
    assert f"(n\xa0=\xa0{whole['n']:,}); on AMD EPYC (AVX2), 2 cores" in text


def test_a_limit_is_told_with_what_broke_above_it() -> None:
    def probe(rate: float, verdict: str, level_ms: float | None, *reasons: str) -> dict:
        return {
            "offered_qps": rate, "verdict": verdict, "reasons": list(reasons), "n": 1000,
            "level_ms": level_ms and {"value": level_ms}, "errors": {"E": 1}, "skipped": 2,
        }  # fmt: skip

    row = {
        "driver": "grpc", "model": "m", "variant": "", "batching": "bundle", "flags": "",
        "limit_qps": 100.0, "broke_qps": 110.0, "slo_percentile": 0.99, "slo_ms": 50.0,
        "confirmed": True,
        "probes": [
            probe(100.0, "held", 41.0), probe(100.0, "broke", 60.0, "latency"),
            probe(100.0, "held", 43.5), probe(110.0, "broke", 70.0, "latency", "growth"),
            probe(200.0, "void", None, "generator"),
        ],
    }  # fmt: skip
    inputs = with_part("limits", rows=[row, row | {"limit_qps": None, "broke_qps": None}])
    where = "on Some CPU, 2 cores, no GPU, load before 0.10."
    assert limits.at(inputs).replace("\xa0", " ") == (
        "What held at the limit: gRPC m 100 requests a second (p99 41.0 to 43.5 ms of 50, 2 "
        f"probes, n = 2,000); {where}"
    )
    assert limits.above(inputs).replace("\xa0", " ") == (
        "The lowest rate that broke its SLO: gRPC m at 110 requests a second by latency, growth "
        f"(p99 70.0 ms of 50, 1 probe, n = 1,000); {where}"
    )
    assert limits.probes(inputs).replace("\xa0", " ") == (
        "Of 10 probes (n = 10,000) 4 held, 4 broke (by latency 4, growth 2) and 2 were void, "
        f"since the generator lagged; 2 of 2 limits held once more; {where}"
    )
    last = spoilt(inputs, with_gpu=False)
    assert last == ("Of 10 probes 2 are void, of 10,030 requests 10 failed and 20 were skipped.")


def test_noise_says_what_it_hides(drawn) -> None:
    inputs = read_inputs([drawn.path])
    pooled = drawn.document["noise"]["pooled"]
    text = noise(inputs)
    assert f"{100 * (pooled['p50_ms']['two_runs'] - 1):.3g}\xa0% in p50" in text
    assert "differences under equal load" in text
    (run,) = inputs.runs
    wide = {name: dict(one or {}, two_runs=99.0) if one else None for name, one in pooled.items()}
    document = {**run.document, "noise": {"by_key": {}, "pooled": wide}}
    results = dataclasses.replace(run.results, document=document)
    hidden = noise(Inputs([dataclasses.replace(run, results=results)]))
    assert "hides 8 of 8 differences" in hidden


def test_an_index_is_told_at_a_recall() -> None:
    row = {
        "items": 1000, "k": 20, "batch": 1, "threads": 1, "n": 500,
        "engine": "recommender_float32", "family": "recommender",
        "recall": {"value": 1.0}, "p50_ms": {"value": 2.0},
    }  # fmt: skip
    rows = [
        row,
        row | {"recall": {"value": 0.96}, "p50_ms": {"value": 1.5}},
        row | {"recall": {"value": 0.90}, "p50_ms": {"value": 0.5}},
        row | {"batch": 32, "p50_ms": {"value": 0.1}},
        row | {"items": 10, "p50_ms": {"value": 0.01}},
        row | {"p50_ms": None},
    ]
    text = index(with_part("index", rows=rows, absent=[]))
    assert "1.50 ms (recall 0.960, n\xa0=\xa0500); 1,000 items, best 20, batch 1, 1 thread" in text
    assert text.endswith("Some CPU, 2 cores, no GPU, load before 0.10.")
    assert exact(with_part("index", rows=[*rows, row | {"engine": "faiss_ivf_flat"}])) == (
        "The p50 of a search that leaves no item out: recommender float32 0.500 ms "
        "(n\xa0=\xa0500); 1,000 items, best 20, batch 1, 1 thread; on Some CPU, 2 cores, no GPU, "
        "load before 0.10."
    )
    assert "No index reached a recall of 0.95" in index(
        with_part("index", rows=rows[2:3], absent=[])
    )


def test_training_is_told_beside_the_reference() -> None:
    row = {
        "key": "a", "engine": "dualtower", "what": "encoder", "encoder": "minilm", "batch": 32,
        "chunk": 0, "n": 60, "rows_per_s": {"value": 41.0, "low": 40.0, "high": 43.0},
        "share_of_peak": 0.5, "ratio": {"value": 1.3, "low": 1.2, "high": 1.4},
    }  # fmt: skip
    rows = [row, row | {"engine": "sentence-transformers"}]
    text = training(with_part("training", rows=rows, absent=[]))
    assert "minilm, batch 32, 41.0 pairs a second (1.30 (1.20–1.40) times the reference's" in text
    assert "50\xa0% of the matrix peak, n\xa0=\xa060 steps" in text
    assert text.count("pairs a second") == 1
    absent = [{"engine": "sentence-transformers", "reason": "not installed"}]
    last = findings_of(with_part("training", rows=rows, absent=absent))[-1]
    assert last.endswith("and 1 case was absent (sentence-transformers).")
