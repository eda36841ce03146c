"""Floating-point operations of the matrix products in a graph, forward and backward.

A product [a, b] x [b, c] takes 2abc operations; element-wise work is not counted. Counted from the
graph that is run, and not from a formula, so that no loss and no option is forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

__all__ = ["graph_flops"]


def graph_flops(graph: tf.Graph, *, sparse_entries: int = 0) -> int:
    """Of one run of `graph`.

    Args:
        graph: of a traced function; what no result and no side effect needs is not run.
        sparse_entries: of each sparse matrix that is multiplied; a graph does not know them.

    Raises:
        ValueError: the shape of a product is not known before it is run.
    """
    total = 0
    for operation in _run(graph):
        count = _COUNTED.get(operation.type)
        if count is not None:
            total += _known(count(operation), operation)
        elif operation.type == "SparseTensorDenseMatMul":
            total += _known([sparse_entries, operation.inputs[3].shape[-1]], operation)
    return total


def _run(graph: tf.Graph) -> list[tf.Operation]:
    """The operations that the results and side effects of a function's graph need."""
    waiting = [*(tensor.op for tensor in graph.outputs), *graph.control_outputs]
    found: dict[str, tf.Operation] = {}
    while waiting:
        operation = waiting.pop()
        if operation.name not in found:
            found[operation.name] = operation
            waiting += [tensor.op for tensor in operation.inputs]
            waiting += operation.control_inputs
    return list(found.values())


def _dense(operation: tf.Operation) -> list[int | None]:
    left, flag = operation.inputs[0].shape, "transpose_a"
    inner = left[0] if operation.get_attr(flag) else left[1]
    return [*operation.outputs[0].shape, inner]


def _batched(operation: tf.Operation) -> list[int | None]:
    left = operation.inputs[0].shape
    inner = left[-2] if operation.get_attr("adj_x") else left[-1]
    return [*operation.outputs[0].shape, inner]


_COUNTED: dict[str, Callable[[tf.Operation], list[int | None]]] = {
    "MatMul": _dense,
    "BatchMatMul": _batched,
    "BatchMatMulV2": _batched,
}


def _known(sizes: list[int | None], operation: tf.Operation) -> int:
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        raise ValueError(f"the shape of {operation.name} ({operation.type}) is not known: {sizes}")
    return 2 * math.prod(known)
