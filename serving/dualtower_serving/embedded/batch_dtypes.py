"""The dtypes that a version's signatures want, checked before a request joins others.

TensorFlow Serving concatenates first, and one request of a wrong dtype fails its whole batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualtower_clients import codec
from dualtower_clients.errors import TensorError
from dualtower_clients.proto import signature_pb2, tensor_pb2
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["InputTypes"]


class InputTypes:
    """The dtype of each tensor that some signature is fed with.

    Args:
        signatures: of one version.
    """

    def __init__(self, signatures: Mapping[str, signature_pb2.SignatureDef]) -> None:
        self._wanted: dict[str, np.dtype[Any]] = {}
        for signature in signatures.values():
            for info in signature.inputs.values():
                dtype = _numpy_of(info.dtype)
                if dtype is not None:
                    self._wanted[info.name] = dtype

    def check(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        """Refuses arrays of another dtype, in TensorFlow's words; unknown tensors pass.

        Raises:
            StatusError: INVALID_ARGUMENT.
        """
        for position, (name, array) in enumerate(feeds.items()):
            wanted = self._wanted.get(name, array.dtype)
            if array.dtype != wanted:
                raise StatusError(
                    Code.INVALID_ARGUMENT,
                    f"Expects arg[{position}] to be {_name_of(wanted)} "
                    f"but {_name_of(array.dtype)} is provided (tensor {name})",
                )


def _numpy_of(number: int) -> np.dtype[Any] | None:
    """What a tensor of this dtype is decoded to; None where none can be."""
    empty = tensor_pb2.TensorProto(dtype=number)  # type: ignore[arg-type]
    empty.tensor_shape.dim.add(size=0)
    try:
        return codec.decode(empty).dtype
    except TensorError:
        return None


def _name_of(dtype: np.dtype[Any]) -> str:
    """TensorFlow's name: float, not float32."""
    try:
        number = codec.encode(np.empty(0, dtype)).dtype
    except TensorError:
        return dtype.name
    return tensor_pb2.DataType.Name(number).removeprefix("DT_").lower()
