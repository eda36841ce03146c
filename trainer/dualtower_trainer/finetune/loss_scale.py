"""A dynamic loss scale, so that small gradients do not vanish in float16.

The loss is multiplied by a power of two before the backward pass and gradients are divided by it
after. An overflow skips the step and halves the scale; a long time without one doubles it
(Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740, section 3.2).
"""

from __future__ import annotations

import tensorflow as tf

__all__ = ["LossScale"]

_FIRST, _LARGEST = 2.0**15, 2.0**24
_GROW_AFTER = 2000


class LossScale:
    """The scale and the count of good steps; create it in the scope of the strategy.

    Args:
        dynamic: false keeps the scale at 1.
        grow_after: steps without an overflow until the scale is doubled.
    """

    def __init__(self, *, dynamic: bool, grow_after: int = _GROW_AFTER) -> None:
        self._dynamic, self._grow_after = dynamic, grow_after
        self.scale = tf.Variable(_FIRST if dynamic else 1.0, trainable=False, name="loss_scale")
        self.good_steps = tf.Variable(0.0, trainable=False, name="good_steps")

    def update(self, strategy: tf.distribute.Strategy, finite: tf.Tensor) -> None:
        """Takes in whether the step was finite; called from cross-replica context."""
        if not self._dynamic:
            return
        scale, good = tf.identity(self.scale), tf.identity(self.good_steps) + 1.0
        grown = good >= self._grow_after
        raised = tf.where(grown, tf.minimum(scale * 2.0, _LARGEST), scale)
        fresh = tf.where(finite, raised, tf.maximum(scale / 2.0, 1.0))
        count = tf.where(finite & ~grown, good, 0.0)
        strategy.extended.update(self.scale, lambda v, x: v.assign(x), (fresh,))
        strategy.extended.update(self.good_steps, lambda v, x: v.assign(x), (count,))

    def variables(self) -> dict[str, tf.Variable]:
        """What a resumed run needs."""
        return {"loss_scale": self.scale, "good_steps": self.good_steps}
