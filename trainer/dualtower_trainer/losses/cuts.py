"""Matryoshka: one training, embeddings that may be cut (Kusupati et al. 2022).

The loss is summed over the first 32, 64, … components, each cut brought back to length 1, so that a
server may keep the whole vector and a phone a quarter of it (https://arxiv.org/abs/2205.13147).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

__all__ = ["cut_vectors", "matryoshka"]


def cut_vectors(vectors: tf.Tensor, dim: int) -> tf.Tensor:
    """The first `dim` components of [..., full], of length 1 again; a zero cut stays zero."""
    return tf.math.l2_normalize(vectors[..., :dim], axis=-1)


def matryoshka(
    loss: Callable[..., tf.Tensor],
    vectors: Sequence[tf.Tensor],
    dims: Sequence[int],
    weights: Sequence[float] | None = None,
) -> tf.Tensor:
    """Σ over dims of weight · loss(*the vectors cut to that dim).

    Args:
        loss: takes as many tensors as `vectors` has.
        vectors: float32 [..., full] each.
        dims: the cuts, each at most `full`; name `full` itself to train the whole vector too.
        weights: one a cut; None weighs each 1.

    Raises:
        ValueError: no cuts, a cut that is longer than the vectors, or weights of another number.

    Example:
        matryoshka(lambda u, i: info_nce(u, i, temperature=0.07), [users, items], [32, 64, 128])
    """
    full = min(int(each.shape[-1]) for each in vectors)
    if not dims or not all(0 < dim <= full for dim in dims):
        raise ValueError(f"cuts must be from 1 to the {full} components there are, got {[*dims]}")
    factors = [1.0] * len(dims) if weights is None else weights
    if len(factors) != len(dims):
        raise ValueError(f"{len(dims)} cuts need as many weights, got {len(factors)}")
    return tf.add_n(
        [
            factor * loss(*(cut_vectors(each, dim) for each in vectors))
            for dim, factor in zip(dims, factors, strict=True)
        ]
    )
