"""Section [bench]: values out of range are refused by name, and quick is never longer."""

from __future__ import annotations

import dataclasses

import pytest

from dualtower.config import load_section, to_toml
from dualtower.errors import ConfigError
from dualtower_benchmarks.settings import BenchConfig


@pytest.mark.parametrize(
    "override",
    [
        "bench.batches=[]",
        "bench.batches=[0, 4]",
        "bench.batches=[4, 4]",
        "bench.concurrency=[-1]",
        "bench.edge_threads=[0]",
        "bench.point_s=0",
        "bench.open_s=nan",
        "bench.warmup_s=-1",
        "bench.open_load_share=1.0",
        "bench.confidence=95",
        "bench.models=['user']",
        "bench.engine='torch'",
        "bench.history_texts=0",
        "bench.open_attempts=0",
    ],
)
def test_values_out_of_range_name_their_key(override: str) -> None:
    key = override.removeprefix("bench.").partition("=")[0]
    with pytest.raises(ConfigError, match=key):
        load_section("bench", BenchConfig, overrides=[override])


def test_a_misspelt_key_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'concurrency'"):
        load_section("bench", BenchConfig, overrides=["bench.concurency=[1]"])


def test_quick_is_a_part_of_the_same_grid() -> None:
    config = BenchConfig(batches=(1, 8, 32), concurrency=(2,), point_s=0.1, edge_threads=(4, 1, 2))
    quick = config.quick()
    assert quick.batches == (1, 32)
    assert quick.concurrency == (2,)
    assert quick.edge_threads == (1, 4)
    for name in ("point_s", "warmup_s", "open_s", "edge_s", "in_process_s"):
        assert getattr(quick, name) <= getattr(config, name)
    assert quick.quick() == quick


def test_settings_survive_a_file(tmp_path) -> None:
    config = BenchConfig(batches=(1, 3), engine="embedded", open_s=2.5)
    (tmp_path / "bench.toml").write_text(to_toml({"bench": config}))
    assert load_section("bench", BenchConfig, path=tmp_path / "bench.toml") == config
    assert dataclasses.asdict(config)["batches"] == (1, 3)
