"""Arrays of several requests into those of one run, and its outputs back to the requests.

    feeds of the requests ──merge──► feeds of the run ──(graph)──► outputs ──split──► each its own

Pure. The rules and messages are those of TensorFlow Serving's batching: rows are concatenated; a
batch is padded to an allowed size with the first row of its last request; where variable lengths
are allowed, an array grows to the longest of the batch with its own first element
(tensorflow/serving#1279), and outputs are not cut back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["allowed_rows", "join", "merge", "rows_of", "split"]

# One wide request widens all others of its batch, one row can be repeated a thousand times: a few
# bytes on the wire must not ask for all the memory there is.
_MAX_PADDING_BYTES = 1 << 30
_MAX_PADDED_RANK = 6


def rows_of(feeds: Mapping[str, NDArray[Any]]) -> int:
    """The rows of a request: the first dimension that all its inputs share.

    Raises:
        StatusError: INVALID_ARGUMENT, there is no such dimension.
    """
    rows = -1
    for array in feeds.values():
        if array.ndim == 0:
            raise StatusError(
                Code.INVALID_ARGUMENT,
                "Batching Run() input tensors must have at least one dimension",
            )
        if rows not in (-1, len(array)):
            raise StatusError(
                Code.INVALID_ARGUMENT,
                "Batching Run() input tensors must have equal 0th-dimension size",
            )
        rows = len(array)
    if rows == -1:
        raise StatusError(
            Code.INVALID_ARGUMENT, "Batching Run() must have at least one input tensor"
        )
    return rows


def allowed_rows(rows: int, allowed_sizes: Sequence[int]) -> int:
    """The first allowed size that holds so many rows; as many as there are if none does."""
    return next((size for size in allowed_sizes if size >= rows), rows)


def merge(
    name: str, arrays: Sequence[NDArray[Any]], rows: int, *, variable_lengths: bool
) -> NDArray[Any]:
    """One input of a run: the rows of all requests, then padding.

    Args:
        name: of the tensor, for messages.
        arrays: `[rows of the request, ...]`, in the order of the requests.
        rows: of the result, at least those of `arrays`.
        variable_lengths: whether the other dimensions may differ, and grow.

    Returns:
        An array `[rows, ...]`; the only request's own where nothing is to be done.

    Raises:
        StatusError: the arrays do not fit together.
    """
    widths = _widths_of(name, arrays, variable_lengths=variable_lengths)
    first = arrays[0]
    if len(arrays) == 1 and len(first) == rows:
        return first
    if any(array.dtype != first.dtype for array in arrays):
        kinds = ", ".join(sorted({array.dtype.name for array in arrays}))
        raise StatusError(
            Code.INTERNAL, f"Tensor concat operation failed: {name} has rows of {kinds}"
        )
    _check_memory(name, arrays, (rows, *widths))
    merged = np.empty((rows, *widths), first.dtype)
    end = sum(map(len, arrays))
    if all(array.shape[1:] == widths for array in arrays):
        np.concatenate(arrays, out=merged[:end])
    else:
        _fill(merged, arrays)
    if end < rows:
        merged[end:] = merged[end - len(arrays[-1])]
    return merged


def split(
    outputs: Sequence[NDArray[Any]], sizes: Iterable[int], rows: int
) -> list[list[NDArray[Any]]]:
    """The outputs of a run by request: views of them.

    Args:
        outputs: of a run of `rows` rows.
        sizes: the rows of the requests in their order; what is left is padding.
        rows: of the run.

    Raises:
        StatusError: FAILED_PRECONDITION, an output does not have the rows of the inputs.
    """
    for array in outputs:
        if array.ndim == 0:
            raise StatusError(Code.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
        if len(array) != rows:
            raise StatusError(
                Code.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th "
                "dimension sizes of the input tensors",
            )
    parts, start = [], 0
    for size in sizes:
        parts.append([array[start : start + size] for array in outputs])
        start += size
    return parts


def join(parts: Sequence[Sequence[NDArray[Any]]]) -> list[NDArray[Any]]:
    """The outputs of a request whose rows ran in several batches, in their order.

    Raises:
        StatusError: INTERNAL, the runs gave different shapes.
    """
    try:
        return [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
    except ValueError as error:  # padded to different lengths
        raise StatusError(Code.INTERNAL, f"Tensor concat operation failed: {error}") from error


def _widths_of(
    name: str, arrays: Sequence[NDArray[Any]], *, variable_lengths: bool
) -> tuple[int, ...]:
    """The dimensions after the first that all of the batch get."""
    widths = arrays[0].shape[1:]
    if not variable_lengths:
        if any(array.shape[1:] != widths for array in arrays):
            raise StatusError(
                Code.FAILED_PRECONDITION,
                f"Tensors with name '{name}' from different tasks have different shapes and "
                "padding is turned off. Set pad_variable_length_inputs to true, or ensure that "
                "all tensors with the same name have equal dimensions starting with the first dim.",
            )
        return widths
    rank = arrays[0].ndim
    if any(array.ndim > _MAX_PADDED_RANK for array in arrays):
        raise StatusError(
            Code.INVALID_ARGUMENT, "Only tensors with rank from 1 to 6 can be padded."
        )
    if any(array.ndim != rank for array in arrays):
        raise StatusError(
            Code.FAILED_PRECONDITION,
            f"Tensors with name '{name}' from different tasks have different ranks, which padding "
            "does not make equal",
        )
    widths = tuple(map(max, zip(*(array.shape[1:] for array in arrays), strict=True)))
    if math.prod(widths) and any(array.size == 0 for array in arrays):
        raise StatusError(Code.INVALID_ARGUMENT, "Got empty tensor in batch of non-empty tensors.")
    return widths


def _fill(merged: NDArray[Any], arrays: Sequence[NDArray[Any]]) -> None:
    start = 0
    for array in arrays:
        rows = merged[start : start + len(array)]
        if array.size:
            if array.shape != rows.shape:
                rows[...] = array.flat[0]
            rows[tuple(map(slice, array.shape))] = array
        start += len(array)


def _check_memory(name: str, arrays: Sequence[NDArray[Any]], shape: tuple[int, ...]) -> None:
    elements = math.prod(shape) - sum(array.size for array in arrays)
    padding_bytes = elements * arrays[0].dtype.itemsize
    if padding_bytes > _MAX_PADDING_BYTES:
        raise StatusError(
            Code.RESOURCE_EXHAUSTED,
            f"Tensors with name '{name}' would be padded to {list(shape)}, "
            f"{padding_bytes} bytes more, at most {_MAX_PADDING_BYTES} are allowed; "
            "send wide and narrow inputs apart",
        )
