"""Encoded Predict requests in a file, each behind its length, for a process that decodes them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower_clients.codec import decode
from dualtower_clients.proto.inference_pb2 import PredictRequest

__all__ = ["read_requests", "write_requests"]

_LENGTH = struct.Struct("<Q")


def write_requests(path: Path, requests: Iterable[bytes]) -> None:
    """All requests of a count."""
    path.write_bytes(b"".join(_LENGTH.pack(len(request)) + request for request in requests))


def read_requests(path: Path) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """The inputs of each by name; strings as bytes objects."""
    content = path.read_bytes()
    place = 0
    while place < len(content):
        (length,) = _LENGTH.unpack_from(content, place)
        place += _LENGTH.size
        request = PredictRequest.FromString(content[place : place + length])
        place += length
        yield {name: np.asarray(decode(tensor)) for name, tensor in request.inputs.items()}
