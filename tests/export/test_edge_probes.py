"""Time, memory and lengths of the files, measured by processes of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dualtower_export.config import ExportConfig
from dualtower_export.edge_memory import peak_resident_bytes
from dualtower_export.edge_source import ITEM_TOWER, USER_TOWER
from dualtower_export.edge_timing import alternate
from dualtower_export.edge_variants import planned_files
from dualtower_export.gate_data import chosen_users, load_gate_data
from dualtower_trainer.data import load_dataset, split


def test_every_variant_once_and_few_lengths() -> None:
    config = ExportConfig(
        variants=("float32", "dynamic_int8"), edge_tokens=(16, 64, 0),
        edge_tokens_variants=("dynamic_int8",),
    )  # fmt: skip
    assert planned_files(config, 32) == [
        (ITEM_TOWER, "float32", "float32", 32),
        (ITEM_TOWER, "dynamic_int8", "dynamic_int8", 32),
        (ITEM_TOWER, "dynamic_int8", "dynamic_int8.t16", 16),
        (ITEM_TOWER, "dynamic_int8", "dynamic_int8.any", 0),
        (USER_TOWER, "float32", "float32", 0),
        (USER_TOWER, "dynamic_int8", "dynamic_int8", 0),
    ]


def test_all_names_every_variant() -> None:
    from dualtower_export.config import VARIANTS

    assert ExportConfig(variants=("all",)).variants == VARIANTS


def test_calls_alternate_and_the_first_of_a_row_does_not_count() -> None:
    said: list[str] = []
    left, right = alternate(lambda: said.append("a"), lambda: said.append("b"))
    assert len(left) == len(right) == 60
    assert "".join(said) == "aaaaabbbbb" * 15
    assert (left >= 0).all()


def test_peak_memory_holds_what_was_touched() -> None:
    before = peak_resident_bytes()
    block = np.ones(40_000_000, np.uint8)
    assert peak_resident_bytes() >= max(before, block.nbytes)


def test_nobody_whom_a_gate_asks_is_calibrated_on(trained) -> None:
    config = replace(ExportConfig(), gate_users=10, calibration_examples=30)
    data = load_gate_data(trained, config)
    parts = split(load_dataset(trained.data_path), trained.split)
    asked = set(parts.judged.users[chosen_users(len(parts.judged), config)].tolist())
    assert len(asked) == len(data.histories) == 10
    log = parts.full
    own = {tuple(log.items[log.users == user].tolist()) for user in asked}
    assert len(data.others) == 30
    assert not own & {tuple(history.tolist()) for history in data.others}


def test_where_gates_ask_everybody_histories_are_drawn(trained) -> None:
    data = load_gate_data(trained, ExportConfig())
    log = split(load_dataset(trained.data_path), trained.split).full
    assert data.others
    drawn = np.sort(np.concatenate(data.others))
    if len(data.histories) == len(np.unique(log.users)):
        np.testing.assert_array_equal(drawn, np.sort(log.items))


def test_the_manifest_holds_what_a_call_costs(bundle) -> None:
    for entry in bundle.manifest["variants"]:
        assert set(entry["ms_p50"]) == set(entry["ms_p90"]) == {"1", "2"}
        assert all(entry["ms_p90"][n] >= entry["ms_p50"][n] > 0 for n in "12")
        assert 0 < entry["delegated_ops"] <= entry["ops"]
        assert 0 < entry["partitions"] <= entry["delegated_ops"]
        assert entry["peak_memory_bytes"] > 100_000
        if entry["variant"] == "float32":
            assert entry["times_float32"] == {"1": 1.0, "2": 1.0}
        assert entry["item_tokens"] == (12 if entry["tower"] == ITEM_TOWER else None)
        loss = entry["ndcg_at_10_float"] - entry["ndcg_at_10"]
        assert loss == pytest.approx(0, abs=0.05)
