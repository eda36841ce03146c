"""Ship or do not ship."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dualtower_export.config import ExportConfig
from dualtower_export.fidelity import RankingChange
from dualtower_export.verdict import Measured, judge

GOOD = Measured(
    tower="item_tower",
    variant="dynamic_int8",
    size_bytes=1000,
    gzip_bytes=900,
    cosine_mean=0.997,
    cosine_min=0.99,
    ranking=RankingChange(0.10, 0.10, 0.002, 0.95, 400),
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
