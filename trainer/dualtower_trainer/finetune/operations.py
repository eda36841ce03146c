"""Two operations of BERT with gradients written by hand, for fewer passes over memory.

On a CPU the matrix products are a good half of a training step; the rest is element-wise work whose
cost is the number of passes. Automatic differentiation keeps every intermediate of GELU and
LayerNorm alive; both gradients need only the input, or the normalised output.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

__all__ = ["add_norm", "bias_gelu"]

_SQRT_HALF = 0.7071067811865476
_DENSITY = 0.3989422804014327  # 1 / sqrt(2 π), the normal density at 0


@tf.custom_gradient
def bias_gelu(x: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable[..., object]]:
    """GELU(x + bias) with the error function (https://arxiv.org/abs/1606.08415).

    Args:
        x: float32 [n, units].
        bias: float32 [units].

    Returns:
        float32 [n, units]. The gradient with respect to z = x + bias is Φ(z) + z φ(z).
    """
    z = tf.nn.bias_add(x, bias)
    share = 0.5 * (1.0 + tf.math.erf(z * _SQRT_HALF))

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        inner = upstream * (share + z * (_DENSITY * tf.exp(-0.5 * z * z)))
        return inner, tf.reduce_sum(inner, axis=0)

    return z * share, gradient


@tf.custom_gradient
def add_norm(
    x: tf.Tensor, residual: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: tf.Tensor
) -> tuple[tf.Tensor, Callable[..., object]]:
    """LayerNorm(x + residual) (https://arxiv.org/abs/1607.06450).

    Args:
        x: float32 [n, units].
        residual: float32 [n, units].
        gamma: float32 [units].
        beta: float32 [units].
        epsilon: float32 scalar, added to the variance; has no gradient.

    Returns:
        float32 [n, units]. With y the normalised sum and g = upstream · gamma, the gradient of the
        sum is (g - mean(g) - y mean(g y)) / deviation.
    """
    total = x + residual
    centred = total - tf.reduce_mean(total, axis=-1, keepdims=True)
    variance = tf.reduce_mean(centred * centred, axis=-1, keepdims=True)
    inverse = tf.math.rsqrt(variance + epsilon)
    normal = centred * inverse

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        scaled = upstream * gamma
        along = tf.reduce_mean(scaled * normal, axis=-1, keepdims=True)
        inner = inverse * (scaled - tf.reduce_mean(scaled, axis=-1, keepdims=True) - normal * along)
        gammas = tf.reduce_sum(upstream * normal, axis=0)
        return inner, inner, gammas, tf.reduce_sum(upstream, axis=0), None

    return normal * gamma + beta, gradient
