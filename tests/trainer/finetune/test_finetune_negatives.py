"""Queue, mined texts and learned temperature: values, gradients in chunks, and what is drawn."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from dualtower.errors import UsageError
from dualtower_trainer.finetune import distil_into, finetune
from dualtower_trainer.finetune.batches import Batch, PairBatches
from dualtower_trainer.finetune.gradcache import cached_gradients, direct_gradients
from dualtower_trainer.finetune.negatives import TextNegatives
from dualtower_trainer.finetune.objectives import contrastive
from dualtower_trainer.finetune.tunable import Tunable
from dualtower_trainer.finetune.tuner import Tuner
from dualtower_trainer.losses import Temperature

SEED = tf.constant([5, 11], tf.int32)
STRATEGY = tf.distribute.get_strategy()


def unit(rows: int, dim: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def wide_batch(make_batch) -> Batch:
    """12 pairs, 12 mined texts of another width, and a queue of 7 with an empty place."""
    batch, third = make_batch(12), make_batch(12, width=6, seed=9).sides[0]
    accidental = np.random.default_rng(1).random((12, 12 + 7)) < 0.2
    accidental[:, -1] = True
    constants = (*batch.constants, accidental, unit(7, 24, 2))
    return Batch((*batch.sides, third), constants)


def test_the_loss_is_a_softmax_over_batch_mined_and_queue() -> None:
    left, right, mined, queued = (unit(rows, 5, seed) for seed, rows in enumerate((4, 4, 8, 3)))
    random = np.random.default_rng(0)
    accidental = random.random((4, 4)) < 0.2
    np.fill_diagonal(accidental, False)
    others = random.random((4, 11)) < 0.3
    weight = random.uniform(0.5, 1, 4).astype(np.float32)
    got = contrastive(0.3)([left, right, mined], [accidental, weight, others, queued])
    scores = left.astype(np.float64) @ np.concatenate([right, mined, queued]).T / 0.3
    masked = np.concatenate([accidental, others], axis=1)
    forward = [np.log(np.exp(row[~out]).sum()) - row[i] for i, (row, out) in
               enumerate(zip(scores, masked, strict=True))]  # fmt: skip
    back = scores[:, :4].T
    backward = [np.log(np.exp(row[~out]).sum()) - row[i] for i, (row, out) in
                enumerate(zip(back, accidental.T, strict=True))]  # fmt: skip
    wanted = np.average(np.add(forward, backward) / 2, weights=weight)
    assert float(got) == pytest.approx(wanted, rel=1e-5)


def test_gradients_in_chunks_equal_the_big_batch(encoder, settings, wide_batch) -> None:
    tunable = Tunable(encoder.config, encoder.tensors, settings)
    weights = [entry.variable for entry in tunable.parameters]
    temperature = Temperature(0.2, minimum=0.05, maximum=0.5)
    objective, constants = contrastive(temperature), list(map(tf.constant, wide_batch.constants))
    sides = [tuple(map(tf.constant, side)) for side in wide_batch.sides]

    def loss(vectors):
        return objective(vectors, constants)

    own = [temperature.log_value]
    wanted_loss, wanted = direct_gradients(tunable.encode, loss, sides, weights, seed=SEED, own=own)
    got_loss, got = tf.function(
        lambda: cached_gradients(
            tunable.encode, loss, sides, weights, seed=SEED, chunk_rows=4, own=own
        ),
        autograph=False,
    )()
    np.testing.assert_allclose(got_loss, wanted_loss, rtol=1e-6)
    assert len(got) == len(weights) + 1
    for mine, theirs in zip(got, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
    vectors = [tunable.encode_plainly(*side) for side in sides]
    values = [float(contrastive(0.2 * np.exp(step))(vectors, constants)) for step in (-1e-2, 1e-2)]
    assert float(got[-1]) == pytest.approx((values[1] - values[0]) / 2e-2, rel=2e-2)


def test_the_temperature_is_learned_within_its_bounds(encoder, settings, make_batch) -> None:
    temperature = Temperature(0.2, minimum=0.15, maximum=0.5)
    settings = dataclasses.replace(
        settings, learn_temperature=True, temperature_rate=0.05, steps=30, learning_rate=3e-3
    )
    tuner = Tuner(encoder, settings, contrastive(temperature), STRATEGY, temperature)
    first = tuner.step([make_batch(8)], 0)
    assert tuner.temperature != pytest.approx(0.2, abs=1e-3)
    for step in range(1, 30):
        last = tuner.step([make_batch(8)], step)
    assert last.loss < 0.5 * first.loss
    assert tuner.temperature == pytest.approx(0.15, abs=1e-3), "the batch is learned by heart"
    assert set(tuner.tensors()) == set(encoder.tensors)


@pytest.fixture
def more(settings):
    return dataclasses.replace(
        settings, queue=20, queue_warmup=2, hard_negatives=2, hard_warmup=3, hard_refresh_every=4,
        hard_first_rank=1, hard_last_rank=9, hard_max_score=1.0, hard_margin=0.0,
    )  # fmt: skip


def test_batches_get_what_was_mined_and_queued(encoder, more, texts, pairs) -> None:
    batches = PairBatches(texts, pairs, encoder.tokenizer, batch_pairs=8, multiple=8)
    negatives = TextNegatives(batches, pairs, more, encoder.hidden)
    directions = unit(len(encoder.tokenizer.vocab), encoder.hidden, 8)

    def bag(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        summed = (directions[ids] * mask[..., None]).sum(1)
        return summed / np.linalg.norm(summed, axis=1, keepdims=True)

    kind = np.arange(len(texts)) // 12
    pushed: list[int] = []
    for step in range(5):
        plain = batches.batches(seed=0, step=step)
        (batch,) = negatives.add(plain, step, bag)
        anchors = batch.texts[0]
        assert len(batch.sides) == (3 if step >= 3 else 2)
        assert len(batch.constants) == (4 if step >= 2 else 2)
        if step >= 2:
            accidental, queued = batch.constants[2:]
            ids = np.array(pushed[-20:])
            held = negatives.state()["queue/ids"]
            assert set(held[held >= 0]) == set(ids)
            same = (held < 0) | (kind[anchors][:, None] == kind[held])
            np.testing.assert_array_equal(accidental[: len(anchors), -20:], same)
            assert queued.shape == (20, encoder.hidden)
        if step == 3:
            vectors = bag(*batches.rows(np.arange(len(texts)), 16))
            rows, mask = batch.sides[2]
            every, _ = batches.rows(np.arange(len(texts)), rows.shape[1])
            checked = 0
            for place, (row, ids) in enumerate(zip(np.repeat(anchors, 2), rows, strict=False)):
                if accidental[place // 2, place]:
                    continue
                (text,) = np.flatnonzero((every == ids).all(1))[:1]
                scores = vectors @ vectors[row]
                scores[kind == kind[row]] = -np.inf  # all of them are its pairs
                rank = int((scores > scores[text] + 1e-6).sum())
                assert 1 <= rank < 9
                checked += 1
            assert checked >= len(anchors)
            assert mask[:, 0].all()
        right = unit(8, encoder.hidden, step)
        negatives.keep([batch], [right])
        newest = negatives.state()["queue/vectors"][(len(pushed) + np.arange(len(anchors))) % 20]
        np.testing.assert_array_equal(newest, right[: len(anchors)])
        pushed += batch.texts[1].tolist()
        np.testing.assert_array_equal(plain[0].sides[0][0], batch.sides[0][0])


def test_a_tuning_that_was_stopped_ends_as_if_it_had_not_been(
    encoder, more, texts, pairs, tmp_path, monkeypatch
) -> None:
    """Between two minings, with the negatives of weights that are gone."""
    settings = dataclasses.replace(
        more,
        mode="top",
        top_layers=1,
        steps=8,
        checkpoint_every=5,
        learn_temperature=True,
        bucket_tokens=16,
        queue_warmup=0,
        hard_warmup=0,
    )
    whole = finetune(encoder, texts, pairs, settings, tmp_path / "whole")
    drawn = PairBatches.batches

    def stops(self, *, seed: int, step: int, count: int):
        if step == 6:
            raise KeyboardInterrupt
        return drawn(self, seed=seed, step=step, count=count)

    with monkeypatch.context() as patch:
        patch.setattr(PairBatches, "batches", stops)
        with pytest.raises(KeyboardInterrupt):
            finetune(encoder, texts, pairs, settings, tmp_path / "stopped")
    stopped = finetune(encoder, texts, pairs, settings, tmp_path / "stopped")
    one, other = (json.loads((path / "tuning.json").read_text()) for path in (whole, stopped))
    assert one["losses"] == other["losses"]
    assert one["temperature"] == other["temperature"] != 0.2


def test_distillation_has_no_pairs_to_mine(encoder, more, texts, tmp_path) -> None:
    with pytest.raises(UsageError, match="belong to pairs of texts"):
        distil_into(encoder, encoder, texts, more, tmp_path / "out")
