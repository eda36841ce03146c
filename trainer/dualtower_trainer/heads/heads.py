"""Two small networks on the directions of a person's and an item's taste.

    x = [√d·û ; √d·v̂ ; d·û⊙v̂]        û, v̂ of length 1, d numbers each
    events   softmax(W₂ gelu(W₁ x + b₁) + b₂)
    ratings  mean + spread · (w₂·gelu(W₁ x + b₁) + b₂)

The towers are what the tasks share, the heads what each has alone: hard parameter sharing, Caruana
1997, https://doi.org/10.1023/A:1007379606734. The joint loss is the contrastive one plus each
head's, weighted. Where one bottom for all tasks holds them back, MMoE (Ma et al. 2018,
https://doi.org/10.1145/3219819.3220007) mixes several; where one event comes only after another,
ESMM (Ma et al. 2018, https://arxiv.org/abs/1804.07931) multiplies their chances.

W₂ is 0 at the start and b₂ the log shares of the events (0 for ratings): a head that has learned
nothing foresees what is usual, and moves no tower. It reads directions, since lengths are set after
training: how strongly an item is recommended (its trend, the scale of unseen items) does not change
what is thought of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from dualtower_trainer.heads.formulas import event_loss, rating_loss
from dualtower_trainer.heads.labels import NO_EVENT, Labels
from dualtower_trainer.heads_config import HeadsConfig

__all__ = ["HeadScale", "Heads"]

_SHORTEST_SQUARE = 1e-12
_FEWEST = 0.5  # interactions that an event counts as at least, so that no share is 0


@dataclass(frozen=True)
class HeadScale:
    """What the training log says before anything is learned.

    Attributes:
        event_names: the events, as they are numbered.
        event_shares: how often each comes, summing to 1.
        rating_mean: of the known ratings.
        rating_spread: their standard deviation; 1 where none is known.
    """

    event_names: tuple[str, ...]
    event_shares: tuple[float, ...]
    rating_mean: float
    rating_spread: float

    @staticmethod
    def of(train: Labels, event_names: tuple[str, ...]) -> HeadScale:
        """Of the labels of a training log."""
        counts = np.bincount(train.events[train.events != NO_EVENT], minlength=len(event_names))
        counts = np.maximum(counts, _FEWEST)
        rated = train.ratings[~np.isnan(train.ratings)].astype(np.float64)
        mean, spread = (float(rated.mean()), float(rated.std())) if len(rated) else (0.0, 1.0)
        return HeadScale(event_names, tuple((counts / counts.sum()).tolist()), mean, spread or 1.0)


class Heads:
    """The heads that a configuration asks for.

    Args:
        config: which heads, and how they are trained.
        taste: numbers of a taste, dim - 2.
        scale: of the labels.
        seed: of the first weights.

    Example:
        heads = Heads(HeadsConfig(ratings=True), config.dim - 2, HeadScale.of(labels, ()))
        loss = heads.loss(people, items, events, ratings)  # people [pairs, dim], items [pairs, dim]
        stars = heads.ratings(people, items)
    """

    def __init__(self, config: HeadsConfig, taste: int, scale: HeadScale, *, seed: int = 0) -> None:
        self.config, self.scale, self._taste = config, scale, taste
        self._models: dict[str, keras.Model] = {}
        if config.events:
            shares = np.log(scale.event_shares)
            self._models["events"] = _head("events", 3 * taste, config.hidden_units, shares, seed)
        if config.ratings:
            self._models["ratings"] = _head(
                "ratings", 3 * taste, config.hidden_units, np.zeros(1), seed + 1
            )

    @staticmethod
    def of(facts: Mapping[str, Any], taste: int, tensors: Mapping[str, np.ndarray]) -> Heads:
        """From what `facts` and `tensors` gave."""
        scale = dict(facts["scale"])
        for name in ("event_names", "event_shares"):
            scale[name] = tuple(scale[name])
        heads = Heads(HeadsConfig(**facts["config"]), taste, HeadScale(**scale))
        heads.assign(tensors)
        return heads

    def facts(self) -> dict[str, Any]:
        """Everything but the weights, as JSON takes it."""
        return {"config": asdict(self.config), "scale": asdict(self.scale)}

    @property
    def variables(self) -> list[tf.Variable]:
        """Everything that is learned, always in the same order."""
        return [variable for model in self._models.values() for variable in model.weights]

    def loss(
        self, people: tf.Tensor, items: tf.Tensor, events: tf.Tensor, ratings: tf.Tensor
    ) -> tf.Tensor:
        """The weighted sum of the heads' losses, a scalar.

        Args:
            people: float32 [pairs, dim], user embeddings.
            items: float32 [pairs, dim], item embeddings.
            events: int32 [pairs], NO_EVENT where there is none.
            ratings: float32 [pairs], as they were given, NaN where there is none.
        """
        read = self._read(people, items)
        total = tf.zeros([])
        if self.config.events:
            total += self.config.event_weight * event_loss(self._models["events"](read), events)
        if self.config.ratings:
            standard = (ratings - self.scale.rating_mean) / self.scale.rating_spread
            foreseen = tf.squeeze(self._models["ratings"](read), -1)
            total += self.config.rating_weight * rating_loss(foreseen, standard)
        return total

    def events(self, people: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Chances float32 [pairs, events] of embeddings float32 [pairs, dim] each."""
        logits = self._models["events"](self._read(people, items))
        return np.asarray(tf.nn.softmax(logits).numpy())

    def ratings(self, people: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Ratings float32 [pairs] of embeddings float32 [pairs, dim] each."""
        foreseen = self._models["ratings"](self._read(people, items)).numpy()[:, 0]
        return np.asarray(self.scale.rating_mean + self.scale.rating_spread * foreseen, np.float32)

    def tensors(self) -> dict[str, np.ndarray]:
        """The weights by name, `head/layer/weight`."""
        return {
            f"{name}/{weight.name.partition(':')[0]}": weight.numpy()
            for name, model in self._models.items()
            for weight in model.weights
        }

    def assign(self, tensors: Mapping[str, np.ndarray]) -> None:
        """The inverse of `tensors`.

        Raises:
            KeyError: a weight is missing.
            ValueError: a weight is of another shape.
        """
        for name, model in self._models.items():
            for weight in model.weights:
                weight.assign(tensors[f"{name}/{weight.name.partition(':')[0]}"])

    def _read(self, people: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        root = self._taste**0.5  # so that numbers are about 1, whatever the width
        person, item = (root * _direction(side[:, : self._taste]) for side in (people, items))
        return tf.concat([person, item, person * item], axis=1)


def _direction(tastes: tf.Tensor) -> tf.Tensor:
    squares = tf.reduce_sum(tastes * tastes, axis=-1, keepdims=True)
    return tastes * tf.math.rsqrt(tf.maximum(squares, _SHORTEST_SQUARE))


def _head(name: str, width: int, units: int, first: np.ndarray, seed: int) -> keras.Model:
    """[pairs, width] to [pairs, len(first)]; gives `first` for everything until it has learned."""
    inputs = keras.Input((width,), name="pair")
    hidden = keras.layers.Dense(
        units,
        activation=_gelu,
        kernel_initializer=keras.initializers.LecunNormal(seed=seed),
        name="hidden",
    )(inputs)
    outputs = keras.layers.Dense(
        len(first),
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant(first),
        name="out",
    )(hidden)
    return keras.Model(inputs, outputs, name=name)


def _gelu(inputs: tf.Tensor) -> tf.Tensor:
    return tf.nn.gelu(inputs, approximate=False)
