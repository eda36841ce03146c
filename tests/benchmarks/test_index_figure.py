"""The report's curve of `bench topk`: there when it is given, refused when it is something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dualtower.errors import UsageError
from dualtower_benchmarks.machine import machine_facts
from dualtower_benchmarks.report import write_report


def _point(side: str, engine: str, wall_ms: float, recall: float, batch: int) -> dict:
    return {
        "side": side, "engine": engine, "batch": batch, "threads": 1, "wall_ms": wall_ms,
        "cpu_ms": wall_ms, "recall": recall,
    }  # fmt: skip


def _document() -> dict:
    points = [
        _point(side, engine, wall_ms * batch, recall, batch)
        for batch in (1, 32)
        for side, engine, wall_ms, recall in (
            ("dualtower", "exact_float32", 8.0, 1.0), ("dualtower", "ivf_4", 0.5, 0.81),
            ("dualtower", "ivf_32", 0.8, 0.97), ("faiss", "flat", 12.0, 1.0),
            ("faiss", "ivf_4", 0.1, 0.6),
        )
    ]  # fmt: skip
    settings = {
        "items": 1000, "dim": 8, "k": 10, "lists": 63, "batches": [1, 32], "threads": [1],
        "rounds": 3, "users": 64,
    }  # fmt: skip
    engines = {"dualtower": "tensorflow 2", "faiss": "faiss 1"}
    return {
        "machine": machine_facts(), "settings": settings, "engines": engines, "points": points,
    }  # fmt: skip


def test_a_panel_for_each_batch(tmp_path: Path) -> None:
    (tmp_path / "topk.json").write_text(json.dumps(_document()))
    out = tmp_path / "report.html"
    write_report(run=None, bundle=None, bench=None, topk=tmp_path / "topk.json", out=out)
    page = out.read_text(encoding="utf-8")
    assert page.count('id="index"') == 1
    for batch, wall in ((1, "0.80"), (32, "25.60")):
        assert f"recall over latency, batch {batch}" in page
        assert f"dualtower ivf_32: {wall} ms, recall 0.970" in page
    assert "faiss 1" in page
    assert "Missing" in page  # what was not given says so


@pytest.mark.parametrize("content", ["{}", "[1]", "{"])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "topk.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"topk\.json .*--out"):
        write_report(run=None, bundle=None, bench=None, topk=path, out=tmp_path / "report.html")
