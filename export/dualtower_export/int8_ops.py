"""Products of 8-bit numbers that keep their digits: watched once in float, then written in int8.

A step of 8 bits is shared by a whole activation, and BERT has a few channels a hundred times as
large as the others. Exact rewritings of a product take them apart before anything is rounded:

    y = (x / smooth) · (smooth ∘ W / stretch) + b / stretch,  then  stretch ∘ y

*smooth* moves large input channels into the weights, which have a step a column (SmoothQuant, Xiao
et al. 2022, https://arxiv.org/abs/2211.10438); *stretch* gives output channels one range and is
multiplied back in float. What neither reaches, a few neurons behind a nonlinearity,
`large_channels` finds, so that they can have a product of their own (as in LLM.int8(), Dettmers et
al. 2022, https://arxiv.org/abs/2208.07339).

The graph is made twice by the same function: over `Watched`, which notes ranges, and over
`Rounded`, which writes them into the graph as fake quantisation for the TFLite converter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import tensorflow as tf

from dualtower_export.int8_ranges import (
    SMALLEST,
    Affine,
    Range,
    bounds_of,
    large_channels,
    smoothing,
)
from dualtower_trainer.bert_layers import embedding_lookup

__all__ = ["Int8Ops", "Rounded", "Watched", "int8_rows"]

_LARGE_NEURONS = 8
# A softmax in int8 has this range by the specification of the runtime: steps of 1/256 from 0.
_SHARES = (0.0, 255 / 256)


class Int8Ops(Protocol):
    """What a graph in int8 is built of."""

    def point(self, name: str, x: tf.Tensor) -> tf.Tensor:
        """An activation [..., channels] that is rounded with one step."""
        ...

    def shares(self, x: tf.Tensor) -> tf.Tensor:
        """The output of a softmax."""
        ...

    def dense(
        self,
        name: str,
        x: tf.Tensor,
        affine: Affine,
        *,
        rounded_input: bool = False,
        int8_output: bool = False,
    ) -> tf.Tensor:
        """x [n, in] · kernel + bias, [n, out].

        Args:
            name: of this product.
            x: the input.
            affine: kernel and bias.
            rounded_input: the input is already a point: it is neither rounded again nor smoothed.
            int8_output: what follows computes in int8 too, so that the output is not stretched.
        """
        ...

    def neurons(
        self,
        name: str,
        x: tf.Tensor,
        inner: Affine,
        activation: Callable[[tf.Tensor], tf.Tensor],
        outer: Affine,
    ) -> tf.Tensor:
        """outer(activation(inner(x))), the two products of a feed-forward part."""
        ...


class Watched:
    """Computes in float and notes the range of every activation over all calls.

    Attributes:
        ranges: by name.
        real: bool [rows]; of an activation [rows, channels] of so many rows only these count, so
            that padding makes no step larger.
    """

    def __init__(self) -> None:
        self.ranges: dict[str, Range] = {}
        self.real = np.ones(0, bool)

    def point(self, name: str, x: tf.Tensor) -> tf.Tensor:
        rows = x.numpy()
        if len(rows) == len(self.real):
            rows = rows[self.real]
        rows = rows.reshape(-1, rows.shape[-1])
        seen = Range(rows.min(axis=0), rows.max(axis=0))
        self.ranges[name] = self.ranges.get(name, seen).joined(seen)
        return x

    def shares(self, x: tf.Tensor) -> tf.Tensor:
        return x

    def dense(
        self,
        name: str,
        x: tf.Tensor,
        affine: Affine,
        *,
        rounded_input: bool = False,
        int8_output: bool = False,
    ) -> tf.Tensor:
        product = self.point(f"{name}.in", x) @ affine.kernel + affine.bias
        return self.point(f"{name}.out", product)

    def neurons(
        self,
        name: str,
        x: tf.Tensor,
        inner: Affine,
        activation: Callable[[tf.Tensor], tf.Tensor],
        outer: Affine,
    ) -> tf.Tensor:
        hidden = activation(self.dense(f"{name}.inner", x, inner))
        return self.dense(f"{name}.outer", hidden, outer)


class Rounded:
    """Writes every activation's range into the graph.

    Args:
        ranges: by name, of `Watched`.
    """

    def __init__(self, ranges: Mapping[str, Range]) -> None:
        self._ranges = ranges

    def point(self, name: str, x: tf.Tensor) -> tf.Tensor:
        return _round(x, self._ranges[name])

    def shares(self, x: tf.Tensor) -> tf.Tensor:
        return tf.quantization.fake_quant_with_min_max_vars(x, *_SHARES)

    def dense(
        self,
        name: str,
        x: tf.Tensor,
        affine: Affine,
        *,
        rounded_input: bool = False,
        int8_output: bool = False,
    ) -> tf.Tensor:
        given = self._ranges[f"{name}.out"]
        with tf.name_scope(name):
            if not rounded_input:
                x, affine = _smoothed(x, affine, self._ranges[f"{name}.in"])
            if int8_output:
                return _product(x, affine, given)
            return _stretched(x, affine, given)

    def neurons(
        self,
        name: str,
        x: tf.Tensor,
        inner: Affine,
        activation: Callable[[tf.Tensor], tf.Tensor],
        outer: Affine,
    ) -> tf.Tensor:
        before, after = self._ranges[f"{name}.inner.out"], self._ranges[f"{name}.outer.in"]
        large = large_channels(after.largest, _LARGE_NEURONS)
        most = np.setdiff1d(np.arange(len(inner.bias)), large)
        with tf.name_scope(name):
            x, inner = _smoothed(x, inner, self._ranges[f"{name}.inner.in"])

            def part(group: np.ndarray, bias: np.ndarray, given: Range) -> tf.Tensor:
                hidden = activation(_product(x, inner.of(group), before.of(group)))
                hidden = _round(hidden, after.of(group))
                return _stretched(hidden, Affine(outer.kernel[group], bias), given)

            total = part(most, outer.bias, self._ranges[f"{name}.outer.out"])
            if len(large):
                bounds = bounds_of(after.of(large), outer.kernel[large])
                total += part(large, np.zeros_like(outer.bias), bounds)
            return total


def int8_rows(table: np.ndarray, ids: tf.Tensor) -> tf.Tensor:
    """Rows [n, width] of a table in int8 for int32 ids [n], each column scaled by its magnitude.

    The runtime reads a table only if its zero is 0, and the converter takes its range from the
    numbers in it; hence one more row, which no id has: it makes the steps 1/127 from -128 to 127.
    """
    columns = np.maximum(np.abs(table).max(axis=0), SMALLEST).astype(np.float32)
    bounds = np.ones((1, table.shape[1]), np.float32)
    bounds[0, 0] = -128 / 127
    scaled = np.concatenate([table / columns, bounds]).astype(np.float32)
    return embedding_lookup(tf.constant(scaled), ids) * tf.constant(columns)


def _smoothed(x: tf.Tensor, affine: Affine, taken: Range) -> tuple[tf.Tensor, Affine]:
    """The input as a point, and the product that undoes its scaling."""
    smooth = smoothing(taken.largest, affine.kernel)
    x = _round(x * tf.constant(1 / smooth), taken.scaled(1 / smooth))
    return x, Affine(affine.kernel * smooth[:, None], affine.bias)


def _product(x: tf.Tensor, affine: Affine, given: Range) -> tf.Tensor:
    # bias_add, which becomes a part of the product
    return _round(tf.nn.bias_add(tf.matmul(x, affine.kernel), affine.bias), given)


def _stretched(x: tf.Tensor, affine: Affine, given: Range) -> tf.Tensor:
    """A product whose output channels are rounded at one range, then float and their own again."""
    stretch = given.largest
    even = Affine(affine.kernel / stretch, affine.bias / stretch)
    return _product(x, even, given.scaled(1 / stretch)) * tf.constant(stretch)


def _round(x: tf.Tensor, seen: Range) -> tf.Tensor:
    """A point with 255 steps from the smallest to the largest number seen, 0 among them."""
    low, high = min(float(seen.low.min()), 0.0), max(float(seen.high.max()), SMALLEST)
    return tf.quantization.fake_quant_with_min_max_vars(x, low, high)
