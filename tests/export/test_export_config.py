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
        ("export.batch_timeout_us=-1", "must not be negative"),
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


def test_it_reads_back_from_toml(tmp_path: Path) -> None:
    config = ExportConfig(version=7, variants=("float32", "float16"), data_licence='CC "BY"')
    (tmp_path / "c.toml").write_text(to_toml({"export": config}), encoding="utf-8")
    assert load_section("export", ExportConfig, path=tmp_path / "c.toml") == config
