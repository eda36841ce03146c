"""Ship or do not ship."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dualtower_export.config import ExportConfig
from dualtower_export.edge_delegation import Delegation
from dualtower_export.edge_timing import Timing
from dualtower_export.fidelity import RankingChange
from dualtower_export.verdict import Measured, judge

GOOD = Measured(
    tower="item_tower",
    variant="dynamic_int8",
    size_bytes=1000,
    gzip_bytes=900,
    cosine_mean=0.997,
    cosine_min=0.99,
    ranking=RankingChange(0.10, 0.10, 0.002, 0.95, 400, 0.01, 0.06, 0.06, 0.001),
    item_tokens=32,
    timings=(Timing(1, 5.0, 6.0, 0.5, 60), Timing(2, 3.0, 4.0, 0.6, 60)),
    delegation=Delegation(120, 100, 2),
    peak_memory_bytes=9_000_000,
)
CONFIG = ExportConfig()


def test_a_good_variant_ships() -> None:
    assert judge(GOOD, CONFIG) == []
    entry = GOOD.as_json([])
    assert (entry["verdict"], entry["reason"]) == ("ship", "")
    assert entry["file"] == "edge/item_tower.dynamic_int8.tflite"


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"cosine_mean": 0.98}, "variant_cosine_mean"),
        ({"cosine_min": 0.5}, "variant_cosine_min"),
        ({"cosine_mean": float("nan")}, "variant_cosine_mean"),
        ({"ranking": replace(GOOD.ranking, overlap=0.5)}, "variant_overlap_at_10"),
        ({"ranking": replace(GOOD.ranking, recall=0.08)}, "variant_recall_ratio"),
        ({"ranking": replace(GOOD.ranking, ndcg=0.04)}, "variant_ndcg_ratio"),
        ({"timings": (Timing(1, 90.0, 95.0, 9.0, 60),)}, "variant_latency_ratio"),
    ],
)
def test_each_threshold_is_named_when_it_is_missed(change: dict, setting: str) -> None:
    reasons = judge(replace(GOOD, **change), CONFIG)
    assert len(reasons) == 1
    assert f"export.{setting}" in reasons[0]
    entry = replace(GOOD, **change).as_json(reasons)
    assert entry["verdict"] == "do not ship"
    assert entry["reason"] == reasons[0]


def test_float32_must_be_as_near_as_a_saved_model() -> None:
    near = replace(GOOD, variant="float32", cosine_min=0.999)
    assert "parity_cosine" in judge(near, CONFIG)[0]
    assert judge(replace(near, cosine_min=0.99999), CONFIG) == []


def test_a_loss_within_the_noise_is_forgiven() -> None:
    lost = replace(GOOD.ranking, recall=0.094)  # 3 % of float would be 0.097
    assert judge(replace(GOOD, ranking=replace(lost, loss_se=0.003)), CONFIG) == []
    assert judge(replace(GOOD, ranking=replace(lost, loss_se=0.001)), CONFIG)


def test_no_user_with_a_target_is_no_reason_and_no_number() -> None:
    blind = replace(GOOD, ranking=RankingChange(float("nan"), float("nan"), 0.0, 1.0, 0))
    assert judge(blind, CONFIG) == []
    assert blind.as_json([])["recall_at_10"] is None


def test_time_is_no_reason_against_float32_nor_without_a_bound() -> None:
    slow = replace(GOOD, timings=(Timing(1, 90.0, 95.0, 9.0, 60),))
    assert judge(slow, replace(CONFIG, variant_latency_ratio=0.0)) == []
    assert judge(replace(slow, variant="float32", cosine_min=1.0), CONFIG) == []


def test_only_one_thread_is_held_against_a_variant() -> None:
    other = (Timing(1, 5.0, 6.0, 2.0, 60), Timing(2, 9.0, 9.5, 9.0, 60))
    assert judge(replace(GOOD, timings=other), CONFIG) == []


def test_an_entry_holds_every_number_with_its_unit() -> None:
    entry = GOOD.as_json([])
    assert entry["ms_p50"] == {"1": 5.0, "2": 3.0}
    assert entry["ms_p90"] == {"1": 6.0, "2": 4.0}
    assert entry["times_float32"] == {"1": 0.5, "2": 0.6}
    assert entry["timed_calls"] == {"1": 60, "2": 60}
    assert (entry["ops"], entry["delegated_ops"], entry["partitions"]) == (120, 100, 2)
    assert entry["peak_memory_bytes"] == 9_000_000
    assert entry["item_tokens"] == 32
    assert (entry["ndcg_at_10"], entry["ndcg_at_10_float"]) == (0.06, 0.06)
    assert (entry["recall_at_10_se"], entry["ndcg_at_10_loss_se"]) == (0.01, 0.001)
