"""The variables of a training and one optimiser step on them; everything that a resume restores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from dualtower.errors import DataError
from dualtower.files import atomic_file
from dualtower_trainer.losses import sampled_softmax
from dualtower_trainer.sampling import Batch
from dualtower_trainer.towers import TowerConfig, build_item_head, build_user_tower
from dualtower_trainer.train_config import TrainConfig

__all__ = ["Learner"]

_IDS_STDDEV = 0.05


class Learner:
    """Both towers in training, over cached item encodings.

    Args:
        encodings: float32 [items, hidden], the frozen encoder's output for the catalogue.
        warm: bool [items]; only these have an id residual and shift the centre.
    """

    def __init__(
        self, config: TowerConfig, train: TrainConfig, encodings: np.ndarray, warm: np.ndarray
    ) -> None:
        self.config, self.train = config, train
        self._encodings = tf.constant(encodings)
        self._warm = tf.constant(warm.astype(np.float32)[:, None])
        self.item_head = build_item_head(config, encodings.shape[1])
        self.user_tower = build_user_tower(config)
        self.item_head.get_layer("centre").mean.assign(encodings[warm].mean(axis=0))
        ids = np.random.default_rng(train.seed).normal(0, _IDS_STDDEV, (len(warm), config.dim))
        self._ids = tf.Variable(ids.astype(np.float32), name="ids")
        self._log_temperature = tf.Variable(np.float32(np.log(train.temperature)), name="log_t")
        self._trainable = [
            *self.item_head.trainable_variables,
            *self.user_tower.trainable_variables,
            self._ids,
            self._log_temperature,
        ]
        self._optimizer = self._make_optimizer()

    @property
    def temperature(self) -> float:
        return float(np.exp(self._log_temperature.numpy()))

    def learning_rate(self, step: int) -> float:
        """The rate of the schedule at `step`."""
        return float(self._schedule(step))

    def step(self, batch: Batch, step: int) -> float:
        """One optimiser step; returns the loss."""
        seed = np.array([self.train.seed, step], np.int32)
        arrays = (
            batch.rows, batch.history, batch.history_mask, batch.targets, batch.target_mask,
            batch.candidates, batch.accidental, batch.log_expected_count, seed,
        )  # fmt: skip
        return float(self._compiled(*(tf.convert_to_tensor(array) for array in arrays)))

    def item_vectors(self) -> np.ndarray:
        """The catalogue as the index will hold it: float32 [items, dim]."""
        inputs = {"pooled": self._encodings, "id_vector": self._ids * self._warm}
        return self.item_head(inputs, training=False).numpy()

    def weights(self) -> dict[str, np.ndarray]:
        """Everything that is learned, by name."""
        named = {
            f"variable/{place:02d}": np.asarray(variable.numpy())
            for place, variable in enumerate(self._trainable)
        }
        named["centre"] = self.item_head.get_layer("centre").mean.numpy()
        return named

    def set_weights(self, tensors: Mapping[str, np.ndarray]) -> None:
        """The inverse of `weights`."""
        for place, variable in enumerate(self._trainable):
            variable.assign(tensors[f"variable/{place:02d}"])
        self.item_head.get_layer("centre").mean.assign(tensors["centre"])

    def save(self, path: Path, best: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
        """Writes weights, optimiser, the best weights so far and `facts` as one whole file."""
        tensors = {f"now/{name}": value for name, value in self.weights().items()}
        tensors |= {f"best/{name}": value for name, value in best.items()}
        tensors |= {
            f"optimizer/{place:03d}": np.asarray(variable.numpy())
            for place, variable in enumerate(self._optimizer.variables)
        }
        with atomic_file(path) as temporary:
            # not save_file: it reports a full disk as an error of its own kind
            temporary.write_bytes(save(tensors, metadata={"facts": json.dumps(facts)}))

    def restore(self, path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Continues from a file of `save`; returns the best weights and the facts.

        Raises:
            DataError: the file is truncated or belongs to other shapes.
        """
        try:
            with safe_open(path, framework="numpy") as stored:
                facts = json.loads((stored.metadata() or {})["facts"])
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            self.set_weights(_below(tensors, "now/"))
            for place, variable in enumerate(self._optimizer.variables):
                variable.assign(tensors[f"optimizer/{place:03d}"])
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise DataError(
                f"the checkpoint {path} cannot be used ({error}); start again with --overwrite"
            ) from error
        return _below(tensors, "best/"), facts

    def _make_optimizer(self) -> keras.optimizers.Optimizer:
        train = self.train
        warmup = max(1, min(train.warmup_steps, train.steps // 4))
        self._schedule = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=train.learning_rate / warmup,
            decay_steps=max(train.steps - warmup, 1),
            alpha=0.05,
            warmup_target=train.learning_rate,
            warmup_steps=warmup,
        )
        optimizer = keras.optimizers.AdamW(
            self._schedule, weight_decay=train.weight_decay, jit_compile=False
        )
        kernels = {id(v) for v in self._trainable if v.name.partition(":")[0].endswith("kernel")}
        optimizer.exclude_from_weight_decay(
            var_list=[v for v in self._trainable if id(v) not in kernels]
        )
        optimizer.build(self._trainable)
        return optimizer

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None, None], tf.float32),
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None, None], tf.float32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None, None], tf.bool),
            tf.TensorSpec([None], tf.float32),
            tf.TensorSpec([2], tf.int32),
        ]
    )
    def _compiled(
        self, rows, history, history_mask, targets, target_mask, candidates, accidental, log_q, seed
    ):  # fmt: skip
        with tf.GradientTape() as tape:
            shown = tf.random.stateless_uniform([tf.shape(rows)[0], 1], seed) >= (
                self.train.id_dropout
            )
            residual = tf.gather(self._ids, rows) * tf.gather(self._warm, rows)
            vectors = self.item_head(
                {
                    "pooled": tf.gather(self._encodings, rows),
                    "id_vector": residual * tf.cast(shown, tf.float32),
                },
                training=True,
            )
            items = tf.ensure_shape(
                tf.gather(vectors, history),
                [None, self.config.history_items, self.config.dim],
            )
            mask = tf.ensure_shape(history_mask, [None, self.config.history_items])
            loss = sampled_softmax(
                users=self.user_tower({"items": items, "mask": mask}, training=True),
                positives=tf.gather(vectors, targets),
                positive_mask=target_mask,
                candidates=tf.gather(vectors, candidates),
                log_expected_count=log_q,
                accidental=accidental,
                temperature=tf.exp(self._log_temperature),
            )
        gradients = tape.gradient(loss, self._trainable)
        self._optimizer.apply_gradients(zip(gradients, self._trainable, strict=True))
        low, high = np.log([self.train.temperature_min, self.train.temperature_max])
        self._log_temperature.assign(
            tf.clip_by_value(self._log_temperature, np.float32(low), np.float32(high))
        )
        return loss


def _below(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
