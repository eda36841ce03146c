"""The panels of the files for a phone, as an export measured them."""

from __future__ import annotations

import itertools
import re

import pytest

from dualtower_benchmarks.report.road.variants_figure import variant_panels


def _row(variant: str, size_mb: float, ms: float | None, recall: float, verdict: str = "ship"):
    row = {
        "tower": "item_tower", "variant": variant, "size_bytes": size_mb * 1e6, "users": 476,
        "recall_at_10": recall, "recall_at_10_float": 0.16, "recall_at_10_loss_se": 0.002,
        "verdict": verdict,
    }  # fmt: skip
    return row if ms is None else row | {"ms_p50": {"1": ms, "2": ms / 2}}


ROWS = [
    _row("float32", 96.6, 4.2, 0.16),
    _row("dynamic_int8", 25.3, 1.2, 0.161),
    _row("naive_int8", 25.1, 2.1, 0.014, "do not ship"),
]


def test_a_panel_by_size_and_one_by_latency() -> None:
    by_size, by_latency = variant_panels(ROWS)
    assert "float32 96.6 MB, Recall@10" in by_size.svg
    assert "dynamic_int8 1.2 ms, Recall@10" in by_latency.svg
    assert "naive_int8 2.1 ms" in by_latency.svg
    assert "476 users" in by_size.caption


def test_the_cheapest_is_on_top_and_no_label_lies_on_another() -> None:
    for panel, order in zip(
        variant_panels(ROWS), (["naive", "dynamic", "float"], ["dynamic", "naive", "float"]),
        strict=True,
    ):  # fmt: skip
        labels = re.findall(r"translate\([\d.]+ ([\d.]+)\)[^>]*>\s*([a-z]+)\w*\s+[\d.]+", panel.svg)
        if not labels:  # matplotlib writes x and y instead of a transform
            labels = re.findall(r' y="([\d.]+)"[^>]*>([a-z]+)\w*\s+[\d.]+', panel.svg)
        placed = sorted((float(y), name) for y, name in labels)
        assert [name for _, name in placed] == order
        gaps = [after - before for (before, _), (after, _) in itertools.pairwise(placed)]
        assert min(gaps) > 12


def test_without_times_there_is_no_panel_of_them() -> None:
    (panel,) = variant_panels([_row("float32", 96.6, None, 0.16)])
    assert "by size" in panel.svg


@pytest.mark.parametrize("rows", [[], [_row("float32", 1, 1, 0.1) | {"recall_at_10": None}]])
def test_nothing_to_draw(rows: list) -> None:
    assert variant_panels(rows) == []
