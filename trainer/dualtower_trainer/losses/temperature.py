"""The temperature of a contrastive loss as a learned, clamped variable."""

from __future__ import annotations

import math

import tensorflow as tf

__all__ = ["Temperature"]


class Temperature(tf.Module):
    """A temperature between two bounds, learned as its logarithm (Radford et al. 2021, CLIP).

    Calling it gives exp(clip(log)). The gradient with respect to the variable is that of exp inside
    the range. At and beyond a bound only a gradient whose descent leads back inside passes, and
    passes whole: neither does the variable run off, nor is it stuck outside, where a plain clip
    has no gradient at all.

    Example:
        temperature = Temperature(0.07, minimum=0.02, maximum=0.3)
        loss = info_nce(users, items, temperature=temperature())
        gradients = tape.gradient(loss, [*tower.trainable_variables, temperature.log_value])

    Attributes:
        log_value: float32 scalar tf.Variable, the natural logarithm.
    """

    def __init__(
        self, initial: float, *, minimum: float, maximum: float, learnable: bool = True
    ) -> None:
        """`learnable=False` keeps it out of `trainable_variables`.

        Raises:
            ValueError: unless 0 < minimum <= initial <= maximum.
        """
        super().__init__(name="temperature")
        if not 0 < minimum <= initial <= maximum:
            raise ValueError(
                "0 < minimum <= initial <= maximum must hold for a temperature, got "
                f"minimum={minimum}, initial={initial}, maximum={maximum}"
            )
        self._low, self._high = math.log(minimum), math.log(maximum)
        self.log_value = tf.Variable(
            math.log(initial), trainable=learnable, dtype=tf.float32, name="log_temperature"
        )

    def __call__(self) -> tf.Tensor:
        """The temperature: float32 scalar within the bounds."""
        return tf.exp(_clamp(self.log_value, self._low, self._high))


def _clamp(value: tf.Tensor, low: float, high: float) -> tf.Tensor:
    @tf.custom_gradient
    def clamped(at):
        def gradient(upstream):
            outward = ((at <= low) & (upstream > 0)) | ((at >= high) & (upstream < 0))
            return tf.where(outward, tf.zeros_like(upstream), upstream)

        return tf.clip_by_value(at, low, high), gradient

    return clamped(tf.convert_to_tensor(value))
