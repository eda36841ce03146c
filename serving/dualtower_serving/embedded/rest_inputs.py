"""The body of a `:predict` call as arrays.

    {"signature_name": ..., "instances": [row, ...]}       one value or one object a row
    {"signature_name": ..., "inputs": value or object}     one value for each input

`instances` asks for `predictions`, `inputs` for `outputs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from dualtower_serving.embedded import rest_base64, rest_dense
from dualtower_serving.embedded.rest_json import Members, find
from dualtower_serving.embedded.rest_json_text import text_of
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["arrays_of", "signature_name_of"]

_ONE_OF = "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
Arrays = dict[str, NDArray[Any]]


def signature_name_of(document: Members) -> str:
    """The signature that is asked for, "" for the default.

    Raises:
        StatusError: INVALID_ARGUMENT, it is no string.
    """
    for name in find(document, "signature_name"):
        if not isinstance(name, str):
            raise _format_error(
                document, "not formatted correctly. 'signature_name' key must be a string value."
            )
        return name.encode("utf-8", "replace").decode()
    return ""


def arrays_of(document: Members, dtypes: Mapping[str, int], signature: str) -> tuple[Arrays, bool]:
    """Arrays by alias, and whether the answer is to come in rows.

    Args:
        document: the body.
        dtypes: of the signature's inputs, by alias.
        signature: its name as it was sent.

    Raises:
        StatusError: INVALID_ARGUMENT or UNIMPLEMENTED, the first thing that is wrong.
    """
    if not dtypes:
        raise _error(f"Failed to get input map for signature: {signature or 'DEFAULT'}")
    instances, inputs = find(document, "instances"), find(document, "inputs")
    if instances:
        if inputs:
            raise _format_error(document, _ONE_OF)
        if not isinstance(instances[0], list):
            raise _format_error(document, "Expecting 'instances' to be an list/array")
        if not instances[0]:
            raise _format_error(document, "No values in 'instances' array")
        return _of_rows(instances[0], dtypes), True
    if inputs:
        return _of_columns(inputs[0], dtypes), False
    raise _error("Missing 'inputs' or 'instances' key")


def _of_rows(rows: list[Any], dtypes: Mapping[str, int]) -> Arrays:
    if len(dtypes) > 1 and not isinstance(rows[0], tuple):
        raise _error(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    if _is_named(rows[0]):
        columns = _columns(rows, dtypes)
        if columns is None:
            _check_named_rows(rows, dtypes)
            columns = {name: [find(row, name)[0] for row in rows] for name in dtypes}
        made = {name: rest_dense.array_of(columns[name], dtypes[name]) for name in dtypes}
        if any(array is None for array in made.values()):
            _check_named_rows(rows, dtypes)
    else:
        name = min(dtypes)
        made = {name: rest_dense.array_of(rows, dtypes[name])}
        if made[name] is None:
            _check_plain_rows(rows, name, dtypes)
    return _complete(made)


def _of_columns(value: Any, dtypes: Mapping[str, int]) -> Arrays:
    if not _is_named(value):
        if len(dtypes) > 1:
            raise _error(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        return {name: _column(value, dtype) for name, dtype in dtypes.items()}
    arrays = {}
    for name in sorted(dtypes):
        found = find(value, name)
        if not found:
            raise _error(f"Missing named input: {name} in 'inputs' object.")
        arrays[name] = _column(found[0], dtypes[name])
    return arrays


def _column(value: Any, dtype: int) -> NDArray[Any]:
    array = rest_dense.array_of(value, dtype)
    if array is None:
        rest_dense.check(value, rest_dense.shape_of(value), dtype)
        raise _error(f"JSON Value: {text_of(value)} is no dense tensor")
    return array


def _columns(rows: list[Any], dtypes: Mapping[str, int]) -> dict[str, list[Any]] | None:
    """The rows turned around, if each is an object with all the inputs and nothing else."""
    if set(map(type, rows)) != {tuple} or set(map(len, rows)) != {len(dtypes)}:
        return None
    members = list(map(dict, rows))
    try:
        return {name: [row[name] for row in members] for name in dtypes}
    except KeyError:
        return None


class _Expected:
    """What the first row fixed for one input."""

    def __init__(self) -> None:
        self._size_shape: tuple[int, list[int]] | None = None

    def check(self, value: Any, dtype: int) -> None:
        shape = rest_dense.shape_of(value)
        size = rest_dense.check(value, shape, dtype)
        if self._size_shape is None:
            self._size_shape = size, shape
            return
        first_size, first_shape = self._size_shape
        if size != first_size:
            raise _error(f"Expecting tensor size: {first_size} but got: {size}")
        if shape != first_shape:
            raise _error(f"Expecting shape {_shape(first_shape)} but got: {_shape(shape)}")


def _check_named_rows(rows: list[Any], dtypes: Mapping[str, int]) -> None:
    expected = {name: _Expected() for name in dtypes}
    for position, row in enumerate(rows):
        if not _is_named(row):
            raise _error(f"Expecting object but got list at item {position} of input list")
        for name, value in row:
            try:
                if name not in dtypes:
                    raise _error(f"JSON object: does not have named input: {name}")
                expected[name].check(value, dtypes[name])
            except StatusError as error:
                raise _error(
                    f"Failed to process element: {position} key: {name} "
                    f"of 'instances' list. Error: {error}"
                ) from None
        if {name for name, _ in row} != set(dtypes):
            raise _error(
                f"Failed to process element: {position} of 'instances' list. "
                f"JSON object: {text_of(row)} keys must be equal to: {','.join(sorted(dtypes))}"
            )


def _check_plain_rows(rows: list[Any], name: str, dtypes: Mapping[str, int]) -> None:
    expected = _Expected()
    for position, row in enumerate(rows):
        if _is_named(row):
            raise _error(f"Expecting value/list but got object at item {position} of input list")
        try:
            expected.check(row, dtypes[name])
        except StatusError as error:
            raise _error(
                f"Failed to process element: {position} of 'instances' list. Error: {error}"
            ) from None


def _complete(made: Mapping[str, NDArray[Any] | None]) -> Arrays:
    """Nothing is None any more, or a check has let something pass."""
    arrays = {name: array for name, array in made.items() if array is not None}
    if len(arrays) != len(made):
        raise _error("the rows of 'instances' make no dense tensor")
    return arrays


def _is_named(value: Any) -> bool:
    """Whether the members of an object are inputs: it is not base64."""
    return isinstance(value, tuple) and not rest_base64.is_object(value)


def _shape(shape: list[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _error(message: str) -> StatusError:
    return StatusError(Code.INVALID_ARGUMENT, message)


def _format_error(document: Members, message: str) -> StatusError:
    return _error(f"JSON Value: {text_of(document)} {message}")
