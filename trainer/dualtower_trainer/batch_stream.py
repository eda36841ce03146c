"""The batches of a training in their order, with what depends on the steps before.

    step ─► mine, when due, with the weights of now ─► BatchSampler ─► streamed frequencies ─► Batch

Mined negatives are those of the last mining, whose weights a checkpoint no longer holds, so they
are stored themselves, as are the frequencies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
import tf_keras as keras

from dualtower.errors import DataError
from dualtower.progress import say
from dualtower_trainer.checkpoint import embed_histories
from dualtower_trainer.losses.frequency import StreamingFrequency
from dualtower_trainer.pairs import HardNegativeMiner
from dualtower_trainer.sampling import Batch, BatchSampler
from dualtower_trainer.tower_config import TowerConfig
from dualtower_trainer.towers import fit_into_ball

__all__ = ["BatchStream", "Towers"]


class Towers(Protocol):
    """What mining asks of a `Learner`."""

    config: TowerConfig
    user_tower: keras.Model

    def parts(self) -> np.ndarray:
        """Parts of every item, float32 [items, dim - 1]."""


class BatchStream:
    """Gives the batches of steps 0, 1, 2 … of a training.

    Example:
        stream = BatchStream(sampler, seed=0)
        for step in range(steps):
            learner.step(stream.batch(step, learner), step)
    """

    def __init__(self, sampler: BatchSampler, *, seed: int) -> None:
        self._sampler, self._seed = sampler, seed
        options = sampler.options
        self._miner: HardNegativeMiner | None = None
        self._frequency: StreamingFrequency | None = None
        if options.hard_per_user:
            places = np.full(sampler.n_items, -1, np.int64)
            places[sampler.trained_rows] = np.arange(len(sampler.trained_rows))
            groups = sampler.groups
            self._miner = HardNegativeMiner(
                [places[log] for log in sampler.logs],
                options.mining(),
                groups=None if groups is None else groups[sampler.trained_rows],
                seed=seed,
            )
        if options.log_q == "streaming":
            self._frequency = StreamingFrequency.by_row(sampler.n_items, rate=options.log_q_rate)

    def batch(self, step: int, towers: Towers) -> Batch:
        """The batch of `step`, the one after the last call's or after the restored ones."""
        hard = None
        if self._miner is not None and self._miner.refresh_index(step) >= 0:
            if self._miner.due(step):
                self._mine(self._miner, step, towers)
            hard = self._miner.of(np.arange(self._sampler.users))
            hard = np.where(hard >= 0, self._sampler.trained_rows[hard], -1)
        batch = self._sampler.batch(seed=self._seed, step=step, hard=hard)
        if self._frequency is not None:
            batch = self._streamed(self._frequency, batch, step)
        return batch

    def state(self) -> dict[str, np.ndarray]:
        """Everything that a resumed training needs beside the weights, by name."""
        return {
            f"{kind}/{name}": np.asarray(value)
            for kind, part in self._parts().items()
            for name, value in part.state().items()
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """The inverse of `state`.

        Raises:
            DataError: the state is of other settings or other data.
        """
        try:
            for kind, part in self._parts().items():
                part.restore({name: state[f"{kind}/{name}"] for name in part.state()})
        except (KeyError, ValueError) as error:
            raise DataError(
                f"the checkpoint's negatives cannot be used ({error}); start again with --overwrite"
            ) from error

    def _parts(self) -> dict[str, HardNegativeMiner | StreamingFrequency]:
        parts = {"hard": self._miner, "frequency": self._frequency}
        return {kind: part for kind, part in parts.items() if part is not None}

    def _mine(self, miner: HardNegativeMiner, step: int, towers: Towers) -> None:
        """Ranks the trained items for everybody, by the log without its most recent part.

        How near that part lies says how near a negative may be.
        """
        sampler = self._sampler
        vectors = fit_into_ball(towers.parts())
        recent = [log[: sampler.hidden(len(log))] for log in sampler.logs]
        earlier = [log[len(new) :] for log, new in zip(sampler.logs, recent, strict=True)]
        people = embed_histories(towers.user_tower, vectors, earlier, towers.config)
        positive = np.array(
            [(vectors[new] @ person).mean() for new, person in zip(recent, people, strict=True)],
            np.float32,
        )
        mined = miner.refresh(step, people, vectors[sampler.trained_rows], positive)
        say(f"  step {step}: {mined.mask.sum() / len(people):.1f} hard negatives a user")

    def _streamed(self, frequency: StreamingFrequency, batch: Batch, step: int) -> Batch:
        """The batch with estimated counts of its targets in the place of the known ones.

        Each user's targets are one draw of the stream: an item is among them once or not at all,
        so that the chance of one draw times the users is the count, even above 1.
        """
        users = len(batch.users)
        for row in range(users):
            asked = batch.rows[batch.targets[row]][batch.target_mask[row] > 0]
            frequency.update(asked, step * users + row + 1)
        rows = batch.rows[batch.candidates]
        counts = np.zeros(self._sampler.n_items)
        counts[rows] = users * np.exp(frequency.log_q(rows).astype(np.float64))
        expected = self._sampler.log_expected(counts)[rows]
        expected[self._sampler.drawn :] = 0  # mined ones have the count 1
        return replace(batch, log_expected_count=expected)
