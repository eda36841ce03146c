"""What a tuning will take, against the graph of its steps and a tuning that is really run."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from dualtower_trainer.encoder import Encoder
from dualtower_trainer.finetune import FinetuneConfig, finetune
from dualtower_trainer.finetune.batches import PairBatches
from dualtower_trainer.finetune.gradcache import direct_gradients
from dualtower_trainer.finetune.measured_plan import mean_step_flops, measure_plan, minings
from dualtower_trainer.finetune.tunable import Tunable
from dualtower_trainer.graph_flops import graph_flops
from dualtower_trainer.pairs import Pairs


def graph_of(encoder: Encoder, config: FinetuneConfig, widths: tuple[int, ...]) -> tf.Graph:
    """Of forward and backward over the sides of a step, with a loss that takes no product."""
    tunable = Tunable(encoder.config, encoder.tensors, config)
    weights = [entry.variable for entry in tunable.parameters]
    sides = [tf.TensorSpec([config.batch_pairs, width], tf.int32) for width in widths]

    def step(*ids: tf.Tensor) -> list[tf.Tensor]:
        masked = [(side, tf.ones_like(side)) for side in ids]
        loss = lambda vectors: tf.add_n([tf.reduce_sum(side) for side in vectors])  # noqa: E731
        seed = tf.constant([0, 0])
        return direct_gradients(tunable.encode, loss, masked, weights, seed=seed)[1]

    return tf.function(step, autograph=False).get_concrete_function(*sides).graph


@pytest.fixture
def batches(encoder: Encoder, texts: list[str], pairs: Pairs) -> Callable[..., PairBatches]:
    def make(config: FinetuneConfig) -> PairBatches:
        return PairBatches(
            texts, pairs, encoder.tokenizer, batch_pairs=config.batch_pairs,
            multiple=config.bucket_tokens,
        )  # fmt: skip

    return make


@pytest.mark.parametrize("mode", ["full", "lora", "bitfit"])
def test_operations_are_those_of_the_graphs_of_the_steps_that_are_drawn(
    encoder: Encoder, settings: FinetuneConfig, batches: Callable[..., PairBatches], mode: str
) -> None:
    config = dataclasses.replace(settings, mode=mode, bucket_tokens=1, batch_pairs=4, accumulate=2)
    drawn = batches(config)
    assert len(drawn.widths) > 1, "else no mean is tested"
    steps = 2000
    seen = Counter(
        tuple(ids.shape[1] for ids, _ in one.sides)
        for step in range(steps)
        for one in drawn.batches(seed=0, step=step, count=1)
    )
    counted = {widths: graph_flops(graph_of(encoder, config, widths)) for widths in seen}
    mean = sum(count * counted[widths] for widths, count in seen.items()) / steps
    assert mean_step_flops(encoder.config, config, drawn, 0) == pytest.approx(2 * mean, rel=0.02)
    expected = sum(
        chance * counted[widths] for chance, widths in zip(drawn.chances, drawn.widths, strict=True)
    )
    assert mean_step_flops(encoder.config, config, drawn, 0) == pytest.approx(2 * expected)


@pytest.mark.parametrize("mode", ["full", "top", "lora", "bitfit"])
def test_the_plan_holds_the_weights_and_the_time_of_a_tuning(
    encoder: Encoder, settings: FinetuneConfig, texts: list[str], pairs: Pairs, mode: str
) -> None:
    config = dataclasses.replace(settings, mode=mode, top_layers=1)
    plan = measure_plan(encoder, texts, pairs, config)
    tuned = Tunable(encoder.config, encoder.tensors, config).parameters
    assert plan.parameters_trainable == sum(int(np.prod(p.variable.shape)) for p in tuned)
    assert plan.pairs == len(pairs)
    assert plan.flops_per_step / plan.step_s == pytest.approx(plan.flops_per_s, rel=1e-6)
    assert plan.total_s >= config.steps * plan.step_s > 0
    assert plan.memory_more_bytes >= 0


def test_mining_is_counted_as_often_as_it_happens(
    encoder: Encoder, settings: FinetuneConfig, texts: list[str], pairs: Pairs, tmp_path, capsys
) -> None:
    config = dataclasses.replace(
        settings, mode="bitfit", steps=9, hard_negatives=1, hard_warmup=2, hard_refresh_every=3,
        hard_first_rank=1, hard_last_rank=12, hard_max_score=1.0, hard_margin=0.0,
    )  # fmt: skip
    finetune(encoder, texts, pairs, config, tmp_path / "tuned")
    assert capsys.readouterr().err.count("hard negatives a text") == minings(config) == 3
    assert minings(dataclasses.replace(config, hard_negatives=0)) == 0
    with_hard = measure_plan(encoder, texts, pairs, config)
    without = measure_plan(encoder, texts, pairs, dataclasses.replace(config, hard_negatives=0))
    # seven of nine steps read a third side, of the longest text of all
    assert 1 < with_hard.flops_per_step / without.flops_per_step < 1 + 7 / 9 * 2
