"""Which weights each mode changes, and low-rank updates merged into plain weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from dualtower_trainer.encoder import Encoder
from dualtower_trainer.finetune.objectives import contrastive
from dualtower_trainer.finetune.plan import make_plan
from dualtower_trainer.finetune.tunable import Tunable
from dualtower_trainer.finetune.tuner import Tuner
from dualtower_trainer.finetune_config import LORA_TARGETS

STRATEGY = tf.distribute.get_strategy()


def changed(encoder, settings, make_batch, **options) -> set[str]:
    settings = dataclasses.replace(settings, batch_pairs=6, **options)
    tuner = Tuner(encoder, settings, contrastive(0.2), STRATEGY)
    for step in range(2):  # of a low-rank pair the first step changes only one
        tuner.step([make_batch(6)], step)
    after = tuner.tensors()
    return {n for n, value in encoder.tensors.items() if not np.array_equal(value, after[n])}


def test_full_changes_everything(encoder, settings, make_batch) -> None:
    names = changed(encoder, settings, make_batch, mode="full")
    # softmax does not see what a key's bias adds to every score, so its gradient is rounding
    assert {n for n in encoder.tensors if "key.bias" not in n} <= names


def test_top_changes_the_last_layers(encoder, settings, make_batch) -> None:
    names = changed(encoder, settings, make_batch, mode="top", top_layers=1)
    assert names
    assert all(name.startswith("encoder.layer.1.") for name in names)


def test_bitfit_changes_biases(encoder, settings, make_batch) -> None:
    names = changed(encoder, settings, make_batch, mode="bitfit")
    biases = {name for name in encoder.tensors if name.endswith(".bias")}
    assert biases - {n for n in biases if "key.bias" in n} <= names <= biases


@pytest.mark.parametrize("targets", [("query", "value"), LORA_TARGETS])
def test_lora_changes_its_targets(encoder, settings, make_batch, targets) -> None:
    names = changed(encoder, settings, make_batch, mode="lora", lora_targets=targets)
    part = {
        "query": "attention.self.query", "key": "attention.self.key",
        "value": "attention.self.value", "output": "attention.output.dense",
        "inner": "intermediate.dense", "outer": "output.dense",
    }  # fmt: skip
    wanted = {
        f"encoder.layer.{layer}.{part[target]}.weight" for layer in (0, 1) for target in targets
    }
    assert names == wanted


def test_a_new_low_rank_update_changes_no_vector(encoder, settings, make_batch) -> None:
    side = make_batch(5).sides[0]
    plain = Tunable(encoder.config, encoder.tensors, settings)
    lora = Tunable(encoder.config, encoder.tensors, dataclasses.replace(settings, mode="lora"))
    np.testing.assert_allclose(plain.encode_plainly(*side), lora.encode_plainly(*side), atol=1e-6)


def test_merged_equals_unmerged_through_a_folder(
    encoder, settings, make_batch, tmp_path: Path
) -> None:
    settings = dataclasses.replace(
        settings, mode="lora", lora_targets=LORA_TARGETS, lora_dropout=0.1, batch_pairs=8
    )
    tuner = Tuner(encoder, settings, contrastive(0.2), STRATEGY)
    for step in range(5):
        tuner.step([make_batch(8, seed=step)], step)
    tuned = Encoder(
        folder=Path(), config=encoder.config, tensors=tuner.tensors(), tokenizer=encoder.tokenizer
    )
    loaded = Encoder.load(tuned.save(tmp_path / "tuned"), max_tokens=16)
    side = make_batch(9, seed=77).sides[1]
    merged = tf.math.l2_normalize(loaded.model([*side]), axis=1)
    np.testing.assert_allclose(merged, tuner.tunable.encode_plainly(*side), atol=1e-5)
    before = tf.math.l2_normalize(encoder.model([*side]), axis=1)
    assert np.abs(merged - before).max() > 1e-2


@pytest.mark.parametrize("mode", ["top", "full", "lora", "bitfit"])
def test_the_plan_counts_what_is_trained(encoder, settings, mode: str) -> None:
    settings = dataclasses.replace(settings, mode=mode, lora_targets=LORA_TARGETS, top_layers=1)
    tunable = Tunable(encoder.config, encoder.tensors, settings)
    plan = make_plan(encoder.config, settings, tokens=8, flops_per_s=1e9)
    trainable = sum(int(np.prod(entry.variable.shape)) for entry in tunable.parameters)
    assert plan.parameters_trainable == trainable
    total = sum(value.size for value in encoder.tensors.values())
    assert plan.parameters_total == total + (trainable if mode == "lora" else 0)
