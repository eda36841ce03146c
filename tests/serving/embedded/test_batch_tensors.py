"""Merging and splitting, against formulas that go row by row and element by element."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dualtower_serving.embedded.batch_tensors import allowed_rows, join, merge, rows_of, split
from dualtower_serving.embedded.status import Code, StatusError

sixty_times = settings(deadline=None, max_examples=60)

DTYPES = [np.float32, np.int64, np.uint8, np.bool_, np.float16, np.complex64, np.object_]


def numbered(shape: tuple[int, ...], dtype: type, start: int) -> np.ndarray:
    """An array whose elements differ, as far as the dtype can tell them apart."""
    count = int(np.prod(shape))
    if dtype is np.object_:
        flat = np.empty(count, object)
        flat[:] = [b"%d\x00" % number for number in range(start, start + count)]
    else:
        flat = np.arange(start, start + count).astype(dtype)
    return flat.reshape(shape)


@st.composite
def batches(draw, *, ragged: bool):
    """Arrays of 1 to 4 rows each; ranks 1 to 4."""
    dtype = draw(st.sampled_from(DTYPES))
    rank = draw(st.integers(0, 3))
    low = 1 if ragged else 0
    widths = draw(st.tuples(*[st.integers(low, 4)] * rank))
    arrays = []
    for number in range(draw(st.integers(1, 5))):
        if ragged:
            widths = draw(st.tuples(*[st.integers(1, 4)] * rank))
        rows = draw(st.integers(1, 4))
        arrays.append(numbered((rows, *widths), dtype, 1000 * number))
    return arrays


def padded_by_hand(array: np.ndarray, widths: tuple[int, ...]) -> list:
    """Nested lists: the array's element where there is one, else its very first."""
    first = array[(0,) * array.ndim]
    cells = {}
    for at in itertools.product(range(len(array)), *map(range, widths)):
        inside = all(index < size for index, size in zip(at, array.shape, strict=True))
        cells[at] = array[at] if inside else first

    def nested(prefix, sizes):
        if not sizes:
            return cells[prefix]
        return [nested((*prefix, at), sizes[1:]) for at in range(sizes[0])]

    return nested((), (len(array), *widths))


@sixty_times
@given(batches(ragged=False), st.integers(0, 5))
def test_merge_is_concatenation_then_the_first_row_of_the_last(arrays, padding):
    rows = sum(map(len, arrays))
    merged = merge("x:0", arrays, rows + padding, variable_lengths=False)
    expected = [row for array in arrays for row in array] + [arrays[-1][0]] * padding
    assert merged.dtype == arrays[0].dtype
    assert merged.shape == (rows + padding, *arrays[0].shape[1:])
    for got, wanted in zip(merged, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


@sixty_times
@given(batches(ragged=False), st.integers(0, 5), st.booleans())
def test_split_undoes_merge(arrays, padding, variable):
    sizes = list(map(len, arrays))
    rows = sum(sizes) + padding
    merged = merge("x:0", arrays, rows, variable_lengths=variable)
    parts = split([merged, merged], sizes, rows)
    assert len(parts) == len(arrays)
    for array, part in zip(arrays, parts, strict=True):
        for output in part:
            assert output.dtype == array.dtype
            np.testing.assert_array_equal(output, array)


@sixty_times
@given(batches(ragged=True), st.integers(0, 3))
def test_variable_lengths_grow_with_the_first_element(arrays, padding):
    rows = sum(map(len, arrays))
    merged = merge("x:0", arrays, rows + padding, variable_lengths=True)
    widths = tuple(np.max([array.shape[1:] for array in arrays], axis=0).astype(int))
    expected = [row for array in arrays for row in padded_by_hand(array, widths)]
    expected += [expected[rows - len(arrays[-1])]] * padding
    assert merged.shape == (rows + padding, *widths)
    assert merged.dtype == arrays[0].dtype
    assert merged.tolist() == expected


@sixty_times
@given(
    hnp.arrays(np.int32, hnp.array_shapes(min_dims=1, max_dims=3, max_side=6)),
    st.lists(st.integers(0, 6), max_size=3),
)
def test_join_undoes_cutting(array, cuts):
    pieces = [[piece, piece * 2] for piece in np.split(array, sorted(cuts))]
    whole, doubled = join(pieces)
    np.testing.assert_array_equal(whole, array)
    np.testing.assert_array_equal(doubled, array * 2)


def test_a_request_alone_is_not_copied():
    array = np.ones((3, 2), np.float32)
    assert merge("x:0", [array], 3, variable_lengths=False) is array
    assert merge("x:0", [array], 3, variable_lengths=True) is array
    output = split([array], [1, 2], 3)[1][0]
    assert output.base is array


def test_bfloat16_survives():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = np.arange(4, dtype=np.float32).astype(ml_dtypes.bfloat16).reshape(2, 2)
    merged = merge("x:0", [array, array[:, :1]], 5, variable_lengths=True)
    assert merged.dtype == ml_dtypes.bfloat16
    expected = [[0, 1], [2, 3], [0, 0], [2, 0], [0, 0]]
    np.testing.assert_array_equal(merged.astype(np.float32), expected)


@sixty_times
@given(st.integers(1, 40), st.lists(st.integers(-2, 40), max_size=6))
def test_allowed_rows(rows, sizes):
    fitting = [size for size in sizes if size >= rows]
    assert allowed_rows(rows, sizes) == (fitting[0] if fitting else rows)


def test_rows_of():
    assert rows_of({"x:0": np.zeros((3, 1)), "z:0": np.zeros(3)}) == 3
    assert rows_of({"x:0": np.zeros((0, 4))}) == 0


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({}, "Batching Run() must have at least one input tensor"),
        ({"t:0": np.array(1.0)}, "Batching Run() input tensors must have at least one dimension"),
        (
            {"x:0": np.zeros(2), "t:0": np.array(b"", object)},
            "Batching Run() input tensors must have at least one dimension",
        ),
        (
            {"x:0": np.zeros(2), "z:0": np.zeros(3)},
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
        (
            {"x:0": np.zeros(0), "z:0": np.zeros(1)},
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
    ],
)
def test_requests_without_rows(feeds, message):
    with pytest.raises(StatusError) as caught:
        rows_of(feeds)
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, message)


def zeros(*shapes: tuple[int, ...], dtype: type = np.float32) -> list[np.ndarray]:
    return [np.zeros(shape, dtype) for shape in shapes]


@pytest.mark.parametrize(
    ("arrays", "variable", "code", "message"),
    [
        (
            zeros((1, 2), (1, 3)),
            False,
            Code.FAILED_PRECONDITION,
            "Tensors with name 'x:0' from different tasks have different shapes and padding is "
            "turned off.",
        ),
        (zeros((1, 2), (1,)), False, Code.FAILED_PRECONDITION, "have different shapes"),
        (zeros((1, 2), (1, 2, 1)), True, Code.FAILED_PRECONDITION, "have different ranks"),
        (
            zeros((1, 0), (1, 3)),
            True,
            Code.INVALID_ARGUMENT,
            "Got empty tensor in batch of non-empty tensors.",
        ),
        (
            zeros((1,) * 7),
            True,
            Code.INVALID_ARGUMENT,
            "Only tensors with rank from 1 to 6 can be padded.",
        ),
        (
            [*zeros((1, 2)), *zeros((1, 2), dtype=np.float64)],
            False,
            Code.INTERNAL,
            "Tensor concat operation failed: x:0 has rows of float32, float64",
        ),
    ],
)
def test_requests_that_do_not_fit_together(arrays, variable, code, message):
    rows = sum(map(len, arrays))
    with pytest.raises(StatusError) as caught:
        merge("x:0", arrays, rows, variable_lengths=variable)
    assert caught.value.code == code
    assert message in caught.value.message


def test_no_element_at_all_fits_together():
    merged = merge("x:0", zeros((2, 0, 3), (1, 0, 5)), 4, variable_lengths=True)
    assert merged.shape == (4, 0, 5)


def test_padding_does_not_ask_for_all_the_memory():
    narrow, wide = np.zeros((999, 1), np.float32), np.zeros((1, 1 << 20), np.float32)
    with pytest.raises(StatusError, match="send wide and narrow inputs apart") as caught:
        merge("x:0", [narrow, wide], 1000, variable_lengths=True)
    assert caught.value.code == Code.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (np.array(1.0), "Batched output tensor has 0 dimensions"),
        (
            np.zeros(4),
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension "
            "sizes of the input tensors",
        ),
    ],
)
def test_outputs_that_cannot_be_split(output, message):
    with pytest.raises(StatusError) as caught:
        split([np.zeros(3), output], [1, 2], 3)
    assert (caught.value.code, caught.value.message) == (Code.FAILED_PRECONDITION, message)


def test_parts_of_different_widths_cannot_be_joined():
    with pytest.raises(StatusError, match="Tensor concat operation failed") as caught:
        join([zeros((1, 2)), zeros((1, 3))])
    assert caught.value.code == Code.INTERNAL
