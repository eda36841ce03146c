"""[export]: what is refused, and that it reads back."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtower.config import load_section, to_toml
from dualtower.errors import ConfigError
from dualtower_export import ExportConfig


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("export.k_max=0", "k_max must be at least 1, got 0"),
        ("export.version=-3", "version must be at least 1"),
        ("export.jobs=0", "jobs must be at least 1"),
        ('export.variants=["float16"]', "must hold float32"),
        ('export.variants=["float32", "int4"]', "distinct names of"),
        ('export.variants=["float32", "float32"]', "distinct names of"),
        ("export.batch_sizes=[4, 2]", "must rise"),
        ("export.batch_sizes=[]", "must rise"),
        ("export.batch_sizes=[0, 2]", "must rise"),
        ("export.length_buckets=[8, 8]", "length_buckets must rise"),
        ("export.length_buckets=[1, 8]", "from 2 or more"),
        ("export.encoder_copies=0", "must be 1 or 2"),
        ("export.compute_dtype=int8", "one of float32, bfloat16, float16"),
        ("export.target_serving=1.15", "target_serving must be one of 2.20.0, 2.21.0"),
        ("export.version_policy=all", "version_policy must be one of latest, specific, got all"),
        ('export.version_labels=["a b"]', "of letters, digits, - and _; got 'a b'"),
        ('export.version_labels=["a", "a"]', "version_labels must be distinct"),
        ("export.half_error=0.0", "half_error must be above 0"),
        ("export.half_cosine=2.0", "0..1"),
        ("export.batch_timeout_us=-1", "batch_timeout_us must not be negative"),
        ("export.batch_threads=-1", "batch_threads must not be negative"),
        ('export.edge_recommenders=["int4"]', "distinct names of int8, float16; got int4"),
        ("export.edge_most_items=0", "edge_most_items must be at least 1"),
        ("export.edge_k=9", "edge_k must be at least 10"),
        ("export.parity_error=0.0", "above 0"),
        ("export.variant_cosine_min=1.5", "0..1"),
        ("export.kmax=5", "did you mean 'k_max'"),
    ],
)
def test_a_bad_setting_is_named(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("[", r"\[")):
        load_section("export", ExportConfig, overrides=[override])


def test_more_batch_sizes_than_can_be_warmed_up_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 50"):
        ExportConfig(batch_sizes=tuple(range(1, 52)))


def test_more_shapes_than_can_be_warmed_up_are_refused() -> None:
    """1 + 40 sizes × (2 signatures × 13 buckets + 1 of ids) = 1081 records of the user tower."""
    sizes, buckets = tuple(range(1, 41)), tuple(range(2, 14))
    with pytest.raises(ValueError, match="make 1081 warm-up records, the server reads 1000"):
        ExportConfig(batch_sizes=sizes, length_buckets=buckets)
    assert ExportConfig(batch_sizes=sizes, length_buckets=buckets[:10])


def test_it_reads_back_from_toml(tmp_path: Path) -> None:
    config = ExportConfig(version=7, variants=("float32", "float16"), data_licence='CC "BY"')
    (tmp_path / "c.toml").write_text(to_toml({"export": config}), encoding="utf-8")
    assert load_section("export", ExportConfig, path=tmp_path / "c.toml") == config
