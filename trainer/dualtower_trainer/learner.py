"""The variables of a training and one optimiser step on them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from dualtower_trainer.adversarial import adversarial_loss
from dualtower_trainer.adversarial_config import AdversarialConfig
from dualtower_trainer.closed_form import ClosedForm, TextFeatures
from dualtower_trainer.heads.heads import Heads
from dualtower_trainer.initialise import closed_form_into_towers
from dualtower_trainer.learner_optimizer import adamw, learning_rates
from dualtower_trainer.loss_config import LossConfig
from dualtower_trainer.losses import make_loss, propensity_weights
from dualtower_trainer.random_start import random_into_towers
from dualtower_trainer.sampling import Batch
from dualtower_trainer.step_tensors import STEP_SIGNATURE, step_tensors
from dualtower_trainer.temperature_start import first_temperature
from dualtower_trainer.towers import ItemShape, TowerConfig, build_item_head, build_user_tower
from dualtower_trainer.train_config import TrainConfig
from dualtower_trainer.wide import WideVocabulary
from dualtower_trainer.wide_layer import bucket_count

__all__ = ["Learner"]


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
        heads: what else is foreseen of each person and target, from the same embeddings.
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
        heads: Heads | None = None,
    ) -> None:
        self.config, self.train, self.loss_config = config, train, loss
        self._adversarial = adversarial or AdversarialConfig()
        self.heads = heads
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
        own = random_into_towers(
            self.item_head,
            self.user_tower,
            features=self._features,
            mean=self._encoder_mean,
            vocabulary=self._vocabulary,
            seed=self.train.seed,
            modal_mean=self._modal_mean,
        )
        self._begin(own, known)

    def _begin(self, own: np.ndarray, known: np.ndarray) -> None:
        self._own.assign(own)
        self._known = (known & self.config.id_residual).astype(np.float32)[:, None]
        self._known_rows = tf.constant(self._known)
        self._temperature = first_temperature(
            self.loss_config, self.user_tower, self.parts(), seed=self.train.seed
        )
        # what a regression has fitted already moves slowly, what it knows nothing of freely
        train = self.train
        self._groups = [
            (1.0, [*self.item_head.trainable_variables, self._temperature.log_value]),
            (train.user_rate, list(self.user_tower.trainable_variables)),
            (train.own_rate, [self._own]),
        ]
        if self.heads is not None:
            self._groups.append((self.heads.config.rate, self.heads.variables))
        self._trainable = [variable for _, group in self._groups for variable in group]
        self._optimizers = [adamw(group, train, rate) for rate, group in self._groups]

    @property
    def temperature(self) -> float:
        return float(self._temperature())

    @property
    def known(self) -> np.ndarray:
        """bool [items], the items with parts of their own."""
        return self._known[:, 0] > 0

    def learning_rate(self, step: int) -> float:
        """The rate of the schedule at `step`."""
        return float(learning_rates(self.train)(step))

    def step(self, batch: Batch, step: int) -> float:
        """One optimiser step; returns the loss."""
        return float(self._compiled(*self._arguments(batch, step)))

    def traced(self, batch: Batch) -> tf.Graph:
        """The graph of a step on batches of this very shape, whose operations can be counted."""
        step = tf.function(self._compiled.python_function, autograph=False)
        return step.get_concrete_function(*self._arguments(batch, 0)).graph

    def _arguments(self, batch: Batch, step: int) -> list[tf.Tensor | tf.SparseTensor]:
        return step_tensors(batch, self._features.bag, (self.train.seed, step))

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

    @property
    def slots(self) -> list[tf.Variable]:
        """What the optimisers remember from step to step."""
        return [variable for optimizer in self._optimizers for variable in optimizer.variables]

    @tf.function(input_signature=STEP_SIGNATURE, autograph=False)
    def _compiled(
        self, grams, rows, history, history_mask, targets, target_mask, candidates, accidental,
        log_q, ratings, events, seed,
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
            if self.heads is not None:
                users = tf.expand_dims(tf.range(tf.shape(targets)[0]), 1) + tf.zeros_like(targets)
                loss += self.heads.loss(
                    tf.gather(people, tf.reshape(users, [-1])),
                    tf.gather(vectors, tf.reshape(targets, [-1])),
                    events=tf.reshape(events, [-1]),
                    ratings=tf.reshape(ratings, [-1]),
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


def _with_taste(embeddings: tf.Tensor, tastes: tf.Tensor) -> tf.Tensor:
    """Embeddings [n, dim] with other tastes [n, dim - 2]; weight and rest stay."""
    return tf.concat([tastes, embeddings[:, -2:]], axis=1)
