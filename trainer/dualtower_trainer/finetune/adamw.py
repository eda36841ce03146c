"""AdamW with a rate per layer, a global clip, a skipped step on overflow, and a mean of weights.

Adam as in Kingma & Ba 2015 (https://arxiv.org/abs/1412.6980), decoupled decay as in Loshchilov &
Hutter 2019 (https://arxiv.org/abs/1711.05101). tf_keras' own has one rate for all weights; scaling
gradients cannot stand in for a rate, since Adam divides the scale out again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from dualtower_trainer.finetune.tunable import Parameter
from dualtower_trainer.finetune_config import FinetuneConfig

__all__ = ["AdamW", "clip_factor", "global_norm"]

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8


def global_norm(gradients: Sequence[tf.Tensor]) -> tf.Tensor:
    """Length of all gradients as one vector, float32; not finite when any of them is not."""
    return tf.sqrt(tf.add_n([2.0 * tf.nn.l2_loss(gradient) for gradient in gradients]))


def clip_factor(norm: tf.Tensor, longest: float) -> tf.Tensor:
    """What gradients of length `norm` are multiplied by, to be at most `longest` long; 0 is off."""
    if not longest:
        return tf.ones([])
    return tf.minimum(1.0, longest / tf.maximum(norm, 1e-12))


class AdamW:
    """Slots and updates of the given parameters; create it in the scope of the strategy.

    `update` is called from cross-replica context, with gradients already reduced.
    """

    def __init__(self, parameters: Sequence[Parameter], config: FinetuneConfig, top: int) -> None:
        self._config = config
        self._parameters = list(parameters)
        self._rates = [
            entry.rate * config.layer_decay ** (top - entry.depth) for entry in parameters
        ]
        self.updates = tf.Variable(0.0, trainable=False, name="updates")
        self._first, self._second = self._slots("first"), self._slots("second")
        self._mean = self._slots("mean") if config.ema_decay else []

    def update(
        self, strategy: tf.distribute.Strategy, gradients: Sequence[tf.Tensor], rate: tf.Tensor
    ) -> None:
        """One step down `gradients` at the rate `rate` of the top layer."""
        extended, config = strategy.extended, self._config
        extended.update(self.updates, lambda count: count.assign_add(1.0))
        count = tf.identity(self.updates)
        powers = tf.pow(_BETA_1, count), tf.pow(_BETA_2, count)
        for place, (entry, gradient) in enumerate(zip(self._parameters, gradients, strict=True)):
            scaled = rate * self._rates[place]
            decay = scaled * config.weight_decay if entry.decayed else None
            slots = (self._first[place], self._second[place])
            extended.update(entry.variable, _adam, (*slots, gradient, scaled, decay, *powers))
            if self._mean:
                extended.update(self._mean[place], self._average, (entry.variable,))

    def values(self) -> dict[str, np.ndarray]:
        """Of every parameter the mean over the steps, bias-corrected; the last one if that is off.

        Mean after t steps: (1 - d) Σ d^(t - s) w_s / (1 - d^t), as Adam corrects its moments.
        """
        count = float(self.updates.numpy())
        if not self._mean or not count:
            return {entry.name: entry.variable.numpy() for entry in self._parameters}
        whole = 1.0 - self._config.ema_decay**count
        return {
            entry.name: (mean.numpy() / whole).astype(np.float32)
            for entry, mean in zip(self._parameters, self._mean, strict=True)
        }

    def variables(self) -> dict[str, tf.Variable]:
        """Everything that a resumed run needs, the parameters too."""
        named = {"updates": self.updates}
        kinds = {"first": self._first, "second": self._second, "mean": self._mean}
        for place, entry in enumerate(self._parameters):
            named[f"weight/{entry.name}"] = entry.variable
            for kind, slots in kinds.items():
                if slots:
                    named[f"{kind}/{entry.name}"] = slots[place]
        return named

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """The inverse of `variables`' values; KeyError or ValueError when they do not fit."""
        for name, variable in self.variables().items():
            variable.assign(state[name])

    def _average(self, mean: tf.Variable, weight: tf.Tensor) -> None:
        mean.assign_add((1.0 - self._config.ema_decay) * (weight - mean))

    def _slots(self, kind: str) -> list[tf.Variable]:
        return [
            tf.Variable(
                tf.zeros(entry.variable.shape),
                trainable=False,
                name=f"{kind}_{entry.name.replace('/', '_')}",
            )
            for entry in self._parameters
        ]


def _adam(
    weight: tf.Variable,
    first: tf.Variable,
    second: tf.Variable,
    gradient: tf.Tensor,
    rate: tf.Tensor,
    decay: tf.Tensor | None,
    power_1: tf.Tensor,
    power_2: tf.Tensor,
) -> None:
    if decay is not None:
        weight.assign_sub(decay * weight)
    # one kernel for both moments and the weight: three passes over memory instead of nine
    tf.raw_ops.ResourceApplyAdam(
        var=weight.handle,
        m=first.handle,
        v=second.handle,
        beta1_power=power_1,
        beta2_power=power_2,
        lr=rate,
        beta1=_BETA_1,
        beta2=_BETA_2,
        epsilon=_EPSILON,
        grad=gradient,
    )
