"""The loss at embeddings that were moved where it grows, within a ball around each.

    FGM  δ = ε · g / |g|                                    g = ∇ loss at the embedding
    PGD  δ₀ = 0,  δ_{k+1} = Π(δ_k + α · g_k / |g_k|)        g_k = ∇ loss at embedding + δ_k

Π shortens to ε. FGM: Miyato et al. 2017, https://arxiv.org/abs/1605.07725, on embeddings of a
ranking He et al. 2018, https://arxiv.org/abs/1808.03908; PGD: Madry et al. 2018,
https://arxiv.org/abs/1706.06083, in the L2 norm. The first step of PGD is FGM with α for ε. Each
row has a ball of its own. Perturbations are constants to the gradient of the training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from dualtower_trainer.adversarial_config import AdversarialConfig

__all__ = ["LossAt", "adversarial_loss", "fgm", "pgd", "project_rows", "unit_rows"]

LossAt = Callable[[Sequence[tf.Tensor]], tf.Tensor]

_TINY = 1e-30


def unit_rows(rows: tf.Tensor) -> tf.Tensor:
    """Each row of float32 [n, dim] at length 1; a row of zeros stays zeros.

    Gradients of a mean are small enough for their squares to underflow, so the largest number of a
    row is divided out first.
    """
    largest = tf.reduce_max(tf.abs(rows), axis=-1, keepdims=True)
    scaled = rows / tf.maximum(largest, _TINY)
    return tf.math.divide_no_nan(scaled, tf.norm(scaled, axis=-1, keepdims=True))


def project_rows(rows: tf.Tensor, radii: tf.Tensor) -> tf.Tensor:
    """The nearest point of the L2 ball around 0: rows [n, dim] shortened to radii [n, 1]."""
    lengths = tf.norm(rows, axis=-1, keepdims=True)
    return rows * tf.minimum(1.0, radii / tf.maximum(lengths, _TINY))


def fgm(
    loss_at: LossAt, points: Sequence[tf.Tensor], radii: Sequence[tf.Tensor]
) -> list[tf.Tensor]:
    """One step of length `radii` along the gradient of each row.

    Args:
        loss_at: points, shaped as `points`, to a scalar.
        points: float32 [n_i, dim] each.
        radii: float32 [n_i, 1] each.

    Returns:
        perturbations, shaped as `points`; 0 where the loss does not depend on a row.
    """
    steps = [radius * unit_rows(slope) for radius, slope in
             zip(radii, _slopes(loss_at, points), strict=True)]  # fmt: skip
    return [tf.stop_gradient(step) for step in steps]


def pgd(
    loss_at: LossAt,
    points: Sequence[tf.Tensor],
    radii: Sequence[tf.Tensor],
    *,
    steps: int,
    step_size: float,
) -> list[tf.Tensor]:
    """Steps of length `step_size` · `radii`, each projected into the ball; the rest as in `fgm`."""
    moved = [tf.zeros_like(point) for point in points]
    for _ in range(steps):
        here = [point + delta for point, delta in zip(points, moved, strict=True)]
        moved = [
            project_rows(delta + step_size * radius * unit_rows(slope), radius)
            for delta, radius, slope in zip(moved, radii, _slopes(loss_at, here), strict=True)
        ]
    return [tf.stop_gradient(delta) for delta in moved]


def adversarial_loss(
    loss_at: LossAt, points: Sequence[tf.Tensor], config: AdversarialConfig
) -> tf.Tensor:
    """The loss at perturbed points, a scalar whose gradient reaches what made `points`.

    Args:
        loss_at: points, shaped as `points`, to a scalar.
        points: float32 [n_i, dim] each, as the towers gave them.
        config: how to perturb; not "off".
    """
    fixed = [tf.stop_gradient(point) for point in points]
    radii = [config.epsilon * tf.norm(point, axis=-1, keepdims=True) for point in fixed]
    if config.kind == "fgm":
        deltas = fgm(loss_at, fixed, radii)
    else:
        deltas = pgd(loss_at, fixed, radii, steps=config.steps, step_size=config.step_size)
    return loss_at([point + delta for point, delta in zip(points, deltas, strict=True)])


def _slopes(loss_at: LossAt, points: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    fixed = [tf.stop_gradient(point) for point in points]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(fixed)
        loss = loss_at(fixed)
    slopes = tape.gradient(loss, fixed, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return [tf.convert_to_tensor(slope) for slope in slopes]
