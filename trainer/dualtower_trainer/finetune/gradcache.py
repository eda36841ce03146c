"""The gradient of a contrastive loss over a batch that does not fit into memory (GradCache).

    1  vectors of all chunks, without a tape                 memory: one chunk, and the vectors
    2  the loss over all vectors, and its gradient to them   memory: batch × batch
    3  each chunk again, its vectors pulled by that gradient  memory: one chunk's tape

Gao et al. 2021, https://arxiv.org/abs/2101.06983. Exact, dropout included, because both passes over
a chunk draw from the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

__all__ = ["Encode", "Loss", "Side", "cached_gradients", "chunk_seed", "direct_gradients"]

Side = tuple[tf.Tensor, tf.Tensor]  # ids, mask int32 [rows, tokens]
Encode = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]  # ids, mask, seed -> [rows, dim]
Loss = Callable[[Sequence[tf.Tensor]], tf.Tensor]  # vectors of each side -> scalar

_ZERO = tf.UnconnectedGradients.ZERO


def chunk_seed(seed: tf.Tensor, side: int, chunk: int | tf.Tensor) -> tf.Tensor:
    """The seed int32 [2] of one chunk of one side."""
    folded = tf.random.experimental.stateless_fold_in(seed, side)
    return tf.random.experimental.stateless_fold_in(folded, chunk)


def direct_gradients(
    encode: Encode,
    loss: Loss,
    sides: Sequence[Side],
    weights: Sequence[tf.Variable],
    *,
    seed: tf.Tensor,
    scale: tf.Tensor | float = 1.0,
    own: Sequence[tf.Variable] = (),
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Loss and gradients by one pass; see `cached_gradients` for the arguments.

    Sides of equal width go through the encoder together, which makes for larger products.
    """
    learned = [*weights, *own]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(learned)
        if len({ids.shape[1] for ids, _ in sides}) == 1:
            ids, mask = (tf.concat(parts, axis=0) for parts in zip(*sides, strict=True))
            rows = [side[0].shape[0] for side in sides]
            vectors = tf.split(encode(ids, mask, chunk_seed(seed, 0, 0)), rows)
        else:
            vectors = [
                encode(*side, chunk_seed(seed, place, 0)) for place, side in enumerate(sides)
            ]
        value = loss(vectors)
        scaled = value * scale
    found = tape.gradient(scaled, learned, unconnected_gradients=_ZERO)
    return value, [tf.convert_to_tensor(gradient) for gradient in found]


def cached_gradients(
    encode: Encode,
    loss: Loss,
    sides: Sequence[Side],
    weights: Sequence[tf.Variable],
    *,
    seed: tf.Tensor,
    chunk_rows: int,
    scale: tf.Tensor | float = 1.0,
    own: Sequence[tf.Variable] = (),
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Loss and gradients of the whole batch, in chunks.

    Args:
        encode: ids, mask and a seed to vectors [rows, dim].
        loss: of the vectors of each side, each [all rows, dim].
        sides: ids and mask of each side, of static shape; rows are a multiple of `chunk_rows`.
        weights: variables of `encode`.
        seed: int32 [2], of this step's dropout.
        chunk_rows: rows that go through the encoder at once.
        scale: what the gradients are multiplied by (for float16).
        own: variables that the loss itself reads, such as a temperature.

    Returns:
        the loss, and the dense gradients of `weights` and of `own`, times `scale`.
    """
    vectors = [
        _encode_chunks(encode, side, seed, place, chunk_rows) for place, side in enumerate(sides)
    ]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([*vectors, *own])
        value = loss(vectors)
        scaled = value * scale
    found = tape.gradient(scaled, [*vectors, *own], unconnected_gradients=_ZERO)
    pulls, of_own = found[: len(vectors)], found[len(vectors) :]
    total = [tf.zeros(weight.shape, weight.dtype) for weight in weights]
    for place, (side, pull) in enumerate(zip(sides, pulls, strict=True)):
        total = _pull_chunks(encode, side, pull, weights, total, seed, place, chunk_rows)
    return value, [*total, *(tf.convert_to_tensor(gradient) for gradient in of_own)]


def _encode_chunks(
    encode: Encode, side: Side, seed: tf.Tensor, place: int, chunk_rows: int
) -> tf.Tensor:
    chunks = [_chunked(part, chunk_rows) for part in side]

    def one(chunk: tf.Tensor) -> tf.Tensor:
        ids, mask = (part[chunk] for part in chunks)
        return encode(ids, mask, chunk_seed(seed, place, chunk))

    # parallel_iterations above 1 would hold that many chunks' activations
    vectors = tf.map_fn(
        one, tf.range(chunks[0].shape[0]), fn_output_signature=tf.float32, parallel_iterations=1
    )
    return tf.reshape(vectors, [side[0].shape[0], -1])


def _pull_chunks(
    encode: Encode,
    side: Side,
    pull: tf.Tensor,
    weights: Sequence[tf.Variable],
    total: list[tf.Tensor],
    seed: tf.Tensor,
    place: int,
    chunk_rows: int,
) -> list[tf.Tensor]:
    """`total` plus the gradients of Σ vectors · pull over the chunks of one side."""
    *chunks, pulls = (_chunked(part, chunk_rows) for part in (*side, pull))

    def one(chunk: tf.Tensor, *so_far: tf.Tensor) -> tuple[tf.Tensor, ...]:
        ids, mask = (part[chunk] for part in chunks)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(list(weights))
            pulled = tf.reduce_sum(encode(ids, mask, chunk_seed(seed, place, chunk)) * pulls[chunk])
        found = tape.gradient(pulled, list(weights), unconnected_gradients=_ZERO)
        return (chunk + 1, *(sofar + new for sofar, new in zip(so_far, found, strict=True)))

    count = chunks[0].shape[0]
    looped = tf.while_loop(
        lambda chunk, *_: chunk < count, one, (tf.constant(0), *total), parallel_iterations=1
    )
    return list(looped[1:])


def _chunked(part: tf.Tensor, chunk_rows: int) -> tf.Tensor:
    """[rows, width] to [chunks, chunk_rows, width]."""
    return tf.reshape(part, [-1, chunk_rows, part.shape[1]])
