"""What section [finetune] refuses."""

from __future__ import annotations

from typing import Any

import pytest

from dualtower.config import load_section
from dualtower.errors import ConfigError
from dualtower_trainer.finetune import FinetuneConfig


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("mode=deep", "mode must be one of frozen, top, full, lora, bitfit, got 'deep'"),
        ("precision=int8", "precision must be one of"),
        ("pairs=users", "pairs must be one of items, histories"),
        ("lora_targets=[]", "must name different matrices"),
        ('lora_targets=["query","query"]', "must name different matrices"),
        ('lora_targets=["head"]', "lora_targets must be one of"),
        ("steps=0", "steps must be at least 1"),
        ("batch_pairs=1", "other pairs of a batch are its negatives"),
        ("chunk_pairs=7", "chunk_pairs must be 0 or divide batch_pairs 64"),
        ("clip_norm=-1", "clip_norm must not be negative"),
        ("dropout=1.0", "dropout must be from 0 to below 1"),
        ("warmup_share=2", "warmup_share must be from 0 to 1"),
        ("layer_decay=0", "layer_decay must be above 0"),
        ("temperature=0", "temperature must be above 0"),
        ("queue=-1", "queue must not be negative, got -1"),
        ("hard_refresh_every=0", "hard_refresh_every must be at least 1"),
        ("hard_last_rank=5", "last_rank must be above first_rank 5, got 5"),
        ("temperature_rate=0", "temperature_rate must be above 0"),
        ("lora_rnk=4", "did you mean 'lora_rank'"),
    ],
)
def test_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        load_section("finetune", FinetuneConfig, overrides=[f"finetune.{override}"])


def test_off_by_default() -> None:
    config: Any = load_section("finetune", FinetuneConfig)
    assert config.mode == "frozen"


def test_a_learned_temperature_starts_in_its_range() -> None:
    overrides = ["finetune.learn_temperature=true", "finetune.temperature_min=0.1"]
    with pytest.raises(ConfigError, match="temperature_min <= temperature <= temperature_max must"):
        load_section("finetune", FinetuneConfig, overrides=overrides)
    assert FinetuneConfig(temperature_min=0.1).temperature == 0.05, "a fixed one has no range"
