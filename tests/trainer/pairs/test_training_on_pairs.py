"""Pairs, batches, queue, hard negatives, frequencies and loss together: it learns, and resumes."""

from __future__ import annotations

import os

os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "2")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "2")

import numpy as np
import tensorflow as tf

from dualtower_trainer.losses import StreamingFrequency, Temperature, info_nce
from dualtower_trainer.pairs import (
    DiverseBatches,
    EmbeddingQueue,
    HardNegativeConfig,
    HardNegativeMiner,
    mine_positives,
    near_duplicate_groups,
)

ITEMS, DIM, BATCH = 48, 8, 8


class Training:
    """Free item vectors, trained so that mined pairs find each other; stochastic descent."""

    def __init__(self, log, texts) -> None:
        groups = near_duplicate_groups(texts)
        pairs = mine_positives(ITEMS, interactions=log, groups=groups)
        start = np.random.default_rng(0).normal(size=(ITEMS, DIM)).astype(np.float32)
        self.vectors = tf.Variable(start)
        self.temperature = Temperature(0.1, minimum=0.05, maximum=0.2)
        self.batches = DiverseBatches(pairs, groups, BATCH)
        self.frequency = StreamingFrequency.by_row(ITEMS)
        self.queue = EmbeddingQueue(16, DIM)
        known = [pairs.positive[pairs.anchor == item].tolist() for item in range(ITEMS)]
        self.miner = HardNegativeMiner(
            [np.array([item, *rest]) for item, rest in enumerate(known)],
            HardNegativeConfig(
                per_anchor=2, first_rank=0, last_rank=20, warmup_steps=20, refresh_steps=15
            ),
            groups=groups,
        )

    def unit(self) -> np.ndarray:
        return tf.math.l2_normalize(self.vectors, 1).numpy()

    def step(self, step: int) -> float:
        if self.miner.due(step):
            self.miner.refresh(step, self.unit(), self.unit())
        batch = self.batches.batch(seed=0, step=step)
        log_q = self.frequency.update(batch.positive, step + 1)
        mined = self.miner.of(batch.anchor).ravel()
        ids = np.concatenate([self.queue.ids, mined])
        stored = np.concatenate([self.queue.vectors, self.unit()[np.maximum(mined, 0)]])
        learned = [self.vectors, self.temperature.log_value]
        with tf.GradientTape() as tape:
            unit = tf.math.l2_normalize(self.vectors, 1)
            positives = tf.gather(unit, batch.positive)
            loss = info_nce(
                tf.gather(unit, batch.anchor),
                positives,
                temperature=self.temperature(),
                log_q=log_q,
                accidental=batch.accidental,
                negatives=stored,
                negatives_log_q=self.frequency.log_q(np.maximum(ids, 0)),
                negatives_accidental=self.batches.accidental(batch.anchor, ids),
                weights=batch.weight,
            )
        for variable, gradient in zip(learned, tape.gradient(loss, learned), strict=True):
            variable.assign_sub(1.0 * tf.convert_to_tensor(gradient))
        self.queue.push(batch.positive, positives)
        return float(loss)

    def state(self) -> dict:
        parts = {"frequency": self.frequency, "queue": self.queue, "miner": self.miner}
        return {
            "vectors": self.vectors.numpy(),
            "temperature": self.temperature.log_value.numpy(),
            **{name: part.state() for name, part in parts.items()},
        }

    def restore(self, state: dict) -> None:
        self.vectors.assign(state["vectors"])
        self.temperature.log_value.assign(state["temperature"])
        for name in ("frequency", "queue", "miner"):
            getattr(self, name).restore(state[name])


def test_it_learns_the_kinds_and_goes_on_exactly_after_a_stop(log, texts) -> None:
    whole = Training(log, texts)
    losses, states = [], {}
    for step in range(300):
        if step in (10, 142):  # in the warm-up, and between two refreshes
            states[step] = whole.state()
        losses.append(whole.step(step))
    for start, state in states.items():
        resumed = Training(log, texts)
        resumed.restore(state)
        assert [resumed.step(step) for step in range(start, start + 20)] == (
            losses[start : start + 20]
        )
    scores = whole.unit() @ whole.unit().T
    np.fill_diagonal(scores, -np.inf)
    nearest = np.argsort(-scores, axis=1)[:, :5]
    same_kind = nearest // 12 == np.arange(ITEMS)[:, None] // 12
    assert same_kind.mean() > 0.8  # one in four by chance
