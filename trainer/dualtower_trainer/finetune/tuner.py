"""One optimiser step on the encoder, on one replica or many, and the state that a resume needs.

sides ─► encode ─► vectors ─► gather over replicas ─► objective
            │                                             │
            └──────── gradients, summed over replicas ◄───┘ ─► clip ─► AdamW ─► mean of weights
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from dualtower.errors import UsageError
from dualtower_trainer.finetune.adamw import AdamW, clip_factor, global_norm
from dualtower_trainer.finetune.batches import Batch
from dualtower_trainer.finetune.gradcache import cached_gradients, direct_gradients
from dualtower_trainer.finetune.loss_scale import LossScale
from dualtower_trainer.finetune.objectives import Objective
from dualtower_trainer.finetune.replicas import gather_vectors, rows_of_replica
from dualtower_trainer.finetune.schedule import learning_rate
from dualtower_trainer.finetune.tunable import Parameter, Tunable
from dualtower_trainer.finetune_config import FinetuneConfig
from dualtower_trainer.losses import Temperature

__all__ = ["StepResult", "Tuner", "refuse_uneven"]


class StepResult(NamedTuple):
    """What a step says: the mean loss, the length of its gradient before clipping, and whether it
    changed the weights (it does not when the gradient is not finite).

    `right` are the vectors of each batch's right sides, float32 [rows, dim], where the
    configuration asks for a queue of them.
    """

    loss: float
    gradient_norm: float
    applied: bool
    right: tuple[np.ndarray, ...] = ()


class Tuner:
    """An encoder in training.

    Args:
        encoder: an `Encoder`; it is not changed.
        config: section [finetune], of any mode but "frozen".
        objective: the loss.
        strategy: where the replicas are.
        temperature: of the loss, created in the scope of the strategy, if it is learned.

    Raises:
        UsageError: the batch cannot be cut evenly, or XLA is asked for on several replicas.
    """

    def __init__(
        self,
        encoder: Any,
        config: FinetuneConfig,
        objective: Objective,
        strategy: tf.distribute.Strategy,
        temperature: Temperature | None = None,
    ) -> None:
        refuse_uneven(config, strategy.num_replicas_in_sync)
        self._config, self._objective, self._strategy = config, objective, strategy
        with strategy.scope():
            self.tunable = Tunable(encoder.config, encoder.tensors, config)
            top = encoder.config.num_hidden_layers
            own = [] if temperature is None else [_of_temperature(temperature, config, top)]
            self._optimizer = AdamW([*self.tunable.parameters, *own], config, top=top)
            self._loss_scale = LossScale(dynamic=config.precision == "float16")
        self._temperature = temperature
        self._weights = [entry.variable for entry in self.tunable.parameters]
        self._own = [entry.variable for entry in own]
        self._graph = tf.function(
            self._step, jit_compile=config.jit_compile or None, autograph=False
        )
        self._plain = tf.function(
            self.tunable.encode_plainly, reduce_retracing=True, autograph=False
        )

    def step(self, batches: Sequence[Batch], step: int) -> StepResult:
        """One update by the mean gradient of `batches`; `step` counts from 0."""
        cut = [
            (
                tuple(
                    tuple(rows_of_replica(self._strategy, part) for part in side)
                    for side in batch.sides
                ),
                tuple(tf.convert_to_tensor(constant) for constant in batch.constants),
            )
            for batch in batches
        ]
        config = self._config
        rate = learning_rate(
            step, steps=config.steps, peak=config.learning_rate, warmup_share=config.warmup_share
        )
        seed = tf.constant([config.seed, step], tf.int32)
        loss, norm, applied, right = self._graph(cut, seed, tf.constant(rate, tf.float32))
        return StepResult(
            float(loss), float(norm), bool(applied), tuple(part.numpy() for part in right)
        )

    @property
    def temperature(self) -> float | None:
        """The learned temperature of now."""
        return None if self._temperature is None else float(self._temperature())

    def encode(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Unit vectors float32 [rows, hidden] by the weights of now, without dropout."""
        return np.asarray(self._plain(tf.constant(ids), tf.constant(mask)).numpy())

    def tensors(self) -> dict[str, np.ndarray]:
        """The tuned weights as a Hugging Face folder holds them: averaged, updates merged in."""
        return self.tunable.tensors(self._optimizer.values())

    def state(self) -> dict[str, np.ndarray]:
        """Everything that a resumed run needs, by name."""
        return {name: np.asarray(value.numpy()) for name, value in self._variables().items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """The inverse of `state`; KeyError or ValueError when it is of another training."""
        for name, variable in self._variables().items():
            variable.assign(state[name])

    def _variables(self) -> dict[str, tf.Variable]:
        return {**self._optimizer.variables(), **self._loss_scale.variables()}

    def _step(
        self, batches: Sequence[Any], seed: tf.Tensor, rate: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Traced once for every combination of widths."""
        strategy = self._strategy
        loss, norm, gradients, right = strategy.run(self._replica, args=(batches, seed))
        loss, norm, *right = (
            strategy.experimental_local_results(value)[0] for value in (loss, norm, *right)
        )
        finite = tf.math.is_finite(norm) & tf.math.is_finite(loss)

        def apply() -> tf.Tensor:
            self._optimizer.update(strategy, gradients, rate)
            return tf.constant(True)

        applied = tf.cond(finite, apply, lambda: tf.constant(False))
        self._loss_scale.update(strategy, finite)
        return loss, norm, applied, right

    def _replica(
        self, batches: Sequence[Any], seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor], list[tf.Tensor]]:
        """Joint loss, clipped gradients that are equal on every replica, and right sides."""
        context = tf.distribute.get_replica_context()
        replicas, fold = context.num_replicas_in_sync, tf.random.experimental.stateless_fold_in
        if replicas > 1:
            seed = fold(seed, context.replica_id_in_sync_group)
        losses: list[tf.Tensor] = []
        gradients: list[tf.Tensor] = []
        right: list[tf.Tensor] = []
        for place, (sides, constants) in enumerate(batches):
            loss, found, vectors = self._gradients(sides, constants, fold(seed, place))
            losses.append(loss)
            right += [vectors[1]] if self._config.queue else []
            gradients = list(map(tf.add, gradients, found)) if gradients else found
        if replicas > 1:
            # each replica has a temperature's whole gradient, and of the weights' its rows' part
            whole = len(self._weights)
            gradients[whole:] = [gradient / replicas for gradient in gradients[whole:]]
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        share = 1.0 / (len(batches) * self._loss_scale.scale)
        norm = global_norm(gradients) * share
        factor = clip_factor(norm, self._config.clip_norm) * share
        gradients = tf.cond(
            tf.equal(factor, 1.0),
            lambda: [tf.identity(gradient) for gradient in gradients],
            lambda: [gradient * factor for gradient in gradients],
        )
        return tf.add_n(losses) / len(losses), norm, gradients, right

    def _gradients(
        self, sides: Sequence[Any], constants: Sequence[tf.Tensor], seed: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor], list[tf.Tensor]]:
        """Loss, gradients, and the vectors of each side from all replicas."""
        gathered: list[tf.Tensor] = []

        def loss(vectors: Sequence[tf.Tensor]) -> tf.Tensor:
            gathered.extend(gather_vectors(part) for part in vectors)
            return self._objective(gathered, constants)

        encode, scale = self.tunable.encode, tf.identity(self._loss_scale.scale)
        if not self._config.chunk_pairs:
            value, found = direct_gradients(
                encode, loss, sides, self._weights, seed=seed, scale=scale, own=self._own
            )
        else:
            value, found = cached_gradients(
                encode, loss, sides, self._weights, seed=seed, scale=scale, own=self._own,
                chunk_rows=self._config.chunk_pairs,
            )  # fmt: skip
        return value, found, gathered


def _of_temperature(temperature: Temperature, config: FinetuneConfig, top: int) -> Parameter:
    rate = config.temperature_rate / config.learning_rate
    return Parameter("temperature", temperature.log_value, top, decayed=False, rate=rate)


def refuse_uneven(config: FinetuneConfig, replicas: int) -> None:
    """Raises UsageError for a batch that cannot be cut evenly, or for XLA on several replicas."""
    if config.batch_pairs % (replicas * max(1, config.chunk_pairs)):
        chunks = f" of chunks of {config.chunk_pairs}" if config.chunk_pairs else ""
        raise UsageError(
            f"finetune.batch_pairs {config.batch_pairs} cannot be cut into {replicas} equal parts"
            f"{chunks}; choose a multiple of {replicas * max(1, config.chunk_pairs)}"
        )
    if config.jit_compile and replicas > 1:
        raise UsageError(
            f"finetune.jit_compile works on one device, there are {replicas}; set it to false, or "
            "name one device in finetune.devices"
        )
