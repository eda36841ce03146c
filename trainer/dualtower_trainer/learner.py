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
from dualtower_trainer.adversarial import adversarial_loss
from dualtower_trainer.adversarial_config import AdversarialConfig
from dualtower_trainer.closed_form import ClosedForm, TextFeatures
from dualtower_trainer.initialise import closed_form_into_towers
from dualtower_trainer.loss_config import LossConfig
from dualtower_trainer.losses import Temperature, make_loss, propensity_weights
from dualtower_trainer.sampling import Batch
from dualtower_trainer.towers import (
    WEIGHT_SCALE,
    ItemShape,
    TowerConfig,
    build_item_head,
    build_user_tower,
    fit_into_ball,
)
from dualtower_trainer.train_config import TrainConfig
from dualtower_trainer.wide import WideVocabulary

__all__ = ["Learner"]

_RANDOM_TEXT, _RANDOM_OWN = 0.4, 0.02  # so long are the two parts of an item at a random start


class Learner:
    """Both towers in training, over cached item encodings.

    An item is shown by its own parts or, in a share `id_dropout` of the steps and where it has
    none, by those of its text; the two have no weight in common, so learning to place unseen items
    moves no item that is known.

    Args:
        config: shape of the towers.
        train: how to train.
        loss: what to minimise.
        features: texts of the whole catalogue.
        encoder_mean: float32 [hidden], what the item head subtracts from the encoder's output.
        modal_mean: float32 [width], the same of vectors of another modality; None without any.
        vocabulary: of the wide part.
        vocabulary_size: pieces of the tokeniser.
        popularity: float [items], interactions in training.
        adversarial: whether the loss is also taken at embeddings moved where it grows.
    """

    def __init__(
        self,
        config: TowerConfig,
        train: TrainConfig,
        loss: LossConfig,
        *,
        features: TextFeatures,
        encoder_mean: np.ndarray,
        vocabulary: WideVocabulary,
        vocabulary_size: int,
        popularity: np.ndarray,
        adversarial: AdversarialConfig | None = None,
        modal_mean: np.ndarray | None = None,
    ) -> None:
        self.config, self.train, self.loss_config = config, train, loss
        self._adversarial = adversarial or AdversarialConfig()
        self._features, self._vocabulary = features, vocabulary
        self._encoder_mean, self._modal_mean = encoder_mean, modal_mean
        pairs = len(vocabulary.pairs)
        self.item_head = build_item_head(
            config,
            ItemShape(
                hidden=features.dense.shape[1],
                vocabulary_size=vocabulary_size,
                pieces=len(vocabulary.pieces),
                pairs=pairs,
                buckets=bucket_count(vocabulary),
                features=0 if features.modal is None else features.modal.shape[1],
            ),
        )
        self.user_tower = build_user_tower(config)
        self._project = self.item_head.get_layer("project")
        self._table = self.item_head.get_layer("wide").table
        self._dense = tf.constant(features.dense)
        if features.modal is not None:
            self._project_modal = self.item_head.get_layer("project_features")
            self._modal = tf.constant(features.modal)
        self._known = np.zeros(len(features.dense), np.float32)
        self._own = tf.Variable(
            np.zeros((len(features.dense), config.dim - 1), np.float32), name="own"
        )
        self._objective = make_loss(loss)
        self._weights = tf.constant(
            propensity_weights(np.maximum(popularity, 1), loss.ipw_power, loss.ipw_clip),
            tf.float32,
        )

    def start_from(self, form: ClosedForm, *, prior: float) -> None:
        """Takes over the closed form."""
        own = closed_form_into_towers(
            form,
            self.item_head,
            self.user_tower,
            mean=self._encoder_mean,
            vocabulary=self._vocabulary,
            prior=prior,
            id_residual=self.config.id_residual,
            modal_mean=self._modal_mean,
        )
        self._begin(own, form.known)

    def start_at_random(self, known: np.ndarray) -> None:
        """Takes nothing over; `known` bool [items] have a vector of their own."""
        rng = np.random.default_rng(self.train.seed)
        hidden, parts = self._project.kernel.shape
        spread = _RANDOM_TEXT / np.sqrt(parts)
        self._project.kernel.assign(rng.normal(0, spread, (hidden, parts)).astype(np.float32))
        if len(self._vocabulary):
            self.item_head.get_layer("wide").fill(self._vocabulary)
        self.item_head.get_layer("centre").mean.assign(self._encoder_mean)
        attention = np.zeros((parts + 1, 1), np.float32)
        attention[parts - 1] = 1 / WEIGHT_SCALE
        self.user_tower.get_layer("pool").attention.assign(attention)
        turn = self.user_tower.get_layer("turn")
        turn.bias.assign(rng.normal(0, 0.01, parts + 1).astype(np.float32))
        own = self._features.dense @ self._project.kernel.numpy()
        if self._features.modal is not None:
            self.item_head.get_layer("features_centre").mean.assign(self._modal_mean)
            shape = self._project_modal.kernel.shape
            self._project_modal.kernel.assign(rng.normal(0, spread, shape).astype(np.float32))
            own += self._features.modal @ self._project_modal.kernel.numpy()
        own += rng.normal(0, _RANDOM_OWN / np.sqrt(parts), own.shape)
        own[:, -1] = 0
        self._begin(own.astype(np.float32), known)

    def _begin(self, own: np.ndarray, known: np.ndarray) -> None:
        self._own.assign(own)
        self._known = (known & self.config.id_residual).astype(np.float32)[:, None]
        self._known_rows = tf.constant(self._known)
        start = 1.0
        if self.loss_config.kind == "linked_softmax":
            start = self._spread_of_scores()
        low, first, high = (
            start * value
            for value in (
                self.loss_config.temperature_min,
                self.loss_config.temperature,
                self.loss_config.temperature_max,
            )
        )
        self._temperature = Temperature(first, minimum=low, maximum=high)
        # what a regression has fitted already moves slowly, what it knows nothing of freely
        train = self.train
        self._groups = [
            (1.0, [*self.item_head.trainable_variables, self._temperature.log_value]),
            (train.user_rate, list(self.user_tower.trainable_variables)),
            (train.own_rate, [self._own]),
        ]
        self._trainable = [variable for _, group in self._groups for variable in group]
        self._optimizers = [self._optimizer(group, rate) for rate, group in self._groups]

    @property
    def temperature(self) -> float:
        return float(self._temperature())

    @property
    def known(self) -> np.ndarray:
        """bool [items], the items with parts of their own."""
        return self._known[:, 0] > 0

    def learning_rate(self, step: int) -> float:
        """The rate of the schedule at `step`."""
        return float(self._schedule(1.0)(step))

    def step(self, batch: Batch, step: int) -> float:
        """One optimiser step; returns the loss."""
        return float(self._compiled(*self._arguments(batch, step)))

    def traced(self, batch: Batch) -> tf.Graph:
        """The graph of a step on batches of this very shape, whose operations can be counted."""
        step = tf.function(self._compiled.python_function)
        return step.get_concrete_function(*self._arguments(batch, 0)).graph

    def _arguments(self, batch: Batch, step: int) -> list[tf.Tensor | tf.SparseTensor]:
        seed = np.array([self.train.seed, step], np.int32)
        bag = self._features.bag[batch.rows].tocoo()
        places = np.stack([bag.row, bag.col + 1], axis=1).astype(np.int64)
        grams = tf.SparseTensor(places, bag.data, [len(batch.rows), int(self._table.shape[0])])
        arrays = (
            batch.rows, batch.history, batch.history_mask, batch.targets, batch.target_mask,
            batch.candidates, batch.accidental, batch.log_expected_count, seed,
        )  # fmt: skip
        return [grams, *(tf.convert_to_tensor(array) for array in arrays)]

    def text_parts(self) -> np.ndarray:
        """Parts of every item by its content, float32 [items, dim - 1]."""
        kernel, bias = self._project.kernel.numpy(), self._project.bias.numpy()
        table = self._table.numpy()[1:]
        text = self._features.dense @ kernel + bias + self._features.bag @ table
        if self._features.modal is not None:
            text = text + self._features.modal @ self._project_modal.kernel.numpy()
        return np.asarray(text, np.float32)

    def parts(self) -> np.ndarray:
        """Parts of every item as the index will hold them: its own, or those of its text."""
        own = np.asarray(self._own.numpy(), np.float32)
        return np.where(self._known > 0, own, self.text_parts())

    def parameters(self) -> dict[str, int]:
        """How many numbers are trained, and how many the towers hold in all."""
        trained = sum(int(np.prod(variable.shape)) for variable in self._trainable)
        fixed = [*self.item_head.non_trainable_weights, *self.user_tower.non_trainable_weights]
        rest = sum(int(np.prod(variable.shape)) for variable in fixed)
        return {"trainable": trained, "total": trained + rest}

    def weights(self) -> dict[str, np.ndarray]:
        """Everything that is learned, by name."""
        return {
            f"variable/{place:02d}": np.asarray(variable.numpy())
            for place, variable in enumerate(self._trainable)
        }

    def set_weights(self, tensors: Mapping[str, np.ndarray]) -> None:
        """The inverse of `weights`."""
        for place, variable in enumerate(self._trainable):
            variable.assign(tensors[f"variable/{place:02d}"])

    def save(
        self,
        path: Path,
        best: Mapping[str, np.ndarray],
        facts: Mapping[str, Any],
        stream: Mapping[str, np.ndarray],
    ) -> None:
        """Writes weights, optimiser, the best weights so far and `facts` as one whole file.

        `stream` is the state of the batches, for whoever draws them.
        """
        tensors = {f"now/{name}": value for name, value in self.weights().items()}
        tensors |= {f"best/{name}": value for name, value in best.items()}
        tensors |= {f"stream/{name}": value for name, value in stream.items()}
        tensors |= {
            f"optimizer/{place:03d}": np.asarray(variable.numpy())
            for place, variable in enumerate(self._slots())
        }
        with atomic_file(path) as temporary:
            # not save_file: it reports a full disk as an error of its own kind
            temporary.write_bytes(save(tensors, metadata={"facts": json.dumps(facts)}))

    def restore(
        self, path: Path
    ) -> tuple[dict[str, np.ndarray], dict[str, Any], dict[str, np.ndarray]]:
        """Continues from a file of `save`; returns the best weights, the facts and the stream.

        Raises:
            DataError: the file is truncated or belongs to other shapes.
        """
        try:
            with safe_open(path, framework="numpy") as stored:
                facts = json.loads((stored.metadata() or {})["facts"])
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            self.set_weights(_below(tensors, "now/"))
            for place, variable in enumerate(self._slots()):
                variable.assign(tensors[f"optimizer/{place:03d}"])
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise DataError(
                f"the checkpoint {path} cannot be used ({error}); start again with --overwrite"
            ) from error
        return _below(tensors, "best/"), facts, _below(tensors, "stream/")

    def _slots(self) -> list[tf.Variable]:
        return [variable for optimizer in self._optimizers for variable in optimizer.variables]

    def _schedule(self, share: float) -> keras.optimizers.schedules.CosineDecay:
        train = self.train
        warmup = max(1, min(train.warmup_steps, train.steps // 4))
        return keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=share * train.learning_rate / warmup,
            decay_steps=max(train.steps - warmup, 1),
            alpha=0.05,
            warmup_target=share * train.learning_rate,
            warmup_steps=warmup,
        )

    def _optimizer(self, variables: list[tf.Variable], share: float) -> keras.optimizers.Optimizer:
        optimizer = keras.optimizers.AdamW(
            self._schedule(share), weight_decay=self.train.weight_decay, jit_compile=False
        )
        kernels = {id(v) for v in variables if v.name.partition(":")[0].endswith("kernel")}
        optimizer.exclude_from_weight_decay(var_list=[v for v in variables if id(v) not in kernels])
        optimizer.build(variables)
        return optimizer

    def _spread_of_scores(self) -> float:
        """Standard deviation of the cosines of one-item histories with all items, at the start."""
        parts = self.parts()
        vectors = fit_into_ball(parts)
        rng = np.random.default_rng(self.train.seed)
        chosen = rng.choice(len(vectors), min(256, len(vectors)), replace=False)
        people = self.user_tower(
            {"items": vectors[chosen][:, None], "mask": np.ones((len(chosen), 1), np.float32)}
        ).numpy()
        return max(float(np.std(people @ vectors.T)), 1e-6)

    @tf.function(
        input_signature=[
            tf.SparseTensorSpec([None, None], tf.float32),
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
        self, grams, rows, history, history_mask, targets, target_mask, candidates, accidental,
        log_q, seed,
    ):  # fmt: skip
        with tf.GradientTape() as tape:
            vectors, read = self._vectors(grams, rows, seed)
            items = tf.gather(read, history) * tf.expand_dims(history_mask, -1)
            people = self.user_tower({"items": items, "mask": history_mask}, training=True)

            def loss_of(people: tf.Tensor, vectors: tf.Tensor) -> tf.Tensor:
                return self._objective(
                    users=people,
                    positives=tf.gather(vectors, targets),
                    positive_mask=target_mask,
                    candidates=tf.gather(vectors, candidates),
                    log_expected_count=log_q,
                    accidental=accidental,
                    temperature=self._temperature(),
                    weights=tf.gather(self._weights, tf.gather(rows, targets)),
                )

            loss = loss_of(people, vectors)
            if self._adversarial.is_on:
                loss += self._adversarial.weight * adversarial_loss(
                    lambda tastes: loss_of(
                        _with_taste(people, tastes[0]), _with_taste(vectors, tastes[1])
                    ),
                    [people[:, :-2], vectors[:, :-2]],
                    self._adversarial,
                )
        gradients = tape.gradient(loss, self._trainable)
        gradients = [
            tf.convert_to_tensor(gradient) if gradient is not None else tf.zeros_like(variable)
            for gradient, variable in zip(gradients, self._trainable, strict=True)
        ]
        if self.train.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, self.train.clip_norm)
        pairs = list(zip(gradients, self._trainable, strict=True))
        for optimizer, (_, group) in zip(self._optimizers, self._groups, strict=True):
            optimizer.apply_gradients(pairs[: len(group)])
            pairs = pairs[len(group) :]
        # row 0 stands for every piece without a row
        self._table.scatter_nd_update([[0]], tf.zeros([1, self._table.shape[1]]))
        return loss

    def _vectors(
        self, grams: tf.SparseTensor, rows: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Embeddings [rows, dim] as candidates, and as what a history is read from.

        Only candidates are shown by their text though they have parts of their own, in a share
        `id_dropout` of the steps.
        """
        heard, dropped = self.train.text_dropout, tf.random.experimental.stateless_fold_in(seed, 1)
        kept = tf.random.stateless_uniform(tf.shape(grams.values), dropped) >= heard
        grams = grams.with_values(grams.values * tf.cast(kept, tf.float32) / (1 - heard))
        text = self._project(tf.gather(self._dense, rows))
        text += tf.sparse.sparse_dense_matmul(grams, self._table)
        if self._features.modal is not None:
            text += self._project_modal(tf.gather(self._modal, rows))
        known = tf.gather(self._known_rows, rows)
        # all of a step or none of it: texts and own parts differ in strength, and would learn that
        shown = tf.random.stateless_uniform([], seed) >= self.train.id_dropout
        shown = known * tf.cast(shown, tf.float32)
        own = tf.gather(self._own, rows)
        fit = self.item_head.get_layer("embedding")
        return fit(shown * own + (1 - shown) * text), fit(known * own + (1 - known) * text)


def bucket_count(vocabulary: WideVocabulary) -> int:
    """Size of the hash tables that hold the vocabulary's pairs."""
    from dualtower_trainer.wide_layer import pair_tables

    pieces = len(vocabulary.pieces)
    return int(pair_tables(vocabulary.pairs + 1, pieces, pieces + 1).keys.shape[1])


def _with_taste(embeddings: tf.Tensor, tastes: tf.Tensor) -> tf.Tensor:
    """Embeddings [n, dim] with other tastes [n, dim - 2]; weight and rest stay."""
    return tf.concat([tastes, embeddings[:, -2:]], axis=1)


def _below(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
