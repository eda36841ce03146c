"""The requests of a shadow run: recorded ones from a file, or those that a bundle carries.

    {"history": ["salted butter 250 g", "rye bread"], "exclude": ["i7"]}     a line each of a file
    {"item_ids": ["i3", "i9"]}
    ["salted butter 250 g", "rye bread"]

A bundle carries warm-up requests that were made of real histories, in a TFRecord file. Its format:
length as uint64, a checksum of it, the record, a checksum of that; the checksums were verified when
the server loaded the version, and are skipped here.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError

from dualtower.errors import DataError, UsageError
from dualtower_clients import TensorError, decode
from dualtower_clients.proto import prediction_log_pb2

__all__ = ["Request", "carried", "recorded", "sample"]

_HEADER = struct.Struct("<Q4x")
_CHECKSUM_BYTES = 4
_MAX_RECORD_BYTES = 1 << 30
_WARMUP = Path("assets.extra", "tf_serving_warmup_requests")


@dataclass(frozen=True)
class Request:
    """Someone to recommend to: a history of texts or of item ids, most recent first."""

    texts: tuple[str, ...] = ()
    item_ids: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


def recorded(path: Path) -> list[Request]:
    """Reads a file with a JSON request a line; empty lines are passed over.

    Raises:
        DataError: a line is no request, or there is none.
        UsageError: the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({error})") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(_request(json.loads(line)))
        except ValueError as error:
            raise DataError(
                f"line {number} of {path} is no request ({error}); write "
                '{"history": [TEXT, ...]} or {"item_ids": [ID, ...]}, with "exclude" where wanted'
            ) from error
    if not found:
        raise DataError(f"{path} holds no request; write one a line, as JSON")
    return found


def carried(version_folder: Path) -> list[Request]:
    """The requests in a recommender's warm-up file, each row of a batch for itself; [] without one.

    Raises:
        DataError: the file is damaged.
    """
    path = version_folder / _WARMUP
    if not path.is_file():
        return []
    found: dict[Request, None] = {}
    try:
        for record in _records(path):
            log = prediction_log_pb2.PredictionLog.FromString(record)
            inputs = log.predict_log.request.inputs
            for alias in ("history", "item_ids"):
                if alias not in inputs:
                    continue
                for row in decode(inputs[alias]).tolist():
                    entries = tuple(one.decode() for one in row if one)
                    ours = Request(texts=entries) if alias == "history" else Request((), entries)
                    found[ours] = None
    except (DecodeError, TensorError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path} holds no warm-up requests that can be read ({error}); give recorded ones with "
            "--requests FILE"
        ) from error
    return list(found)


def sample(requests: Sequence[Request], count: int, seed: int) -> list[Request]:
    """So many of them at random, and in order again where there are more rounds than requests."""
    if not requests:
        return []
    chosen = random.Random(seed)
    rounds, rest = divmod(count, len(requests))
    return [*list(requests) * rounds, *chosen.sample(list(requests), rest)]


def _records(path: Path) -> Iterator[bytes]:
    size_bytes = path.stat().st_size
    with path.open("rb") as stream:
        while header := stream.read(_HEADER.size):
            if len(header) < _HEADER.size:
                raise ValueError("it ends within a record")
            (length,) = _HEADER.unpack(header)
            if length > min(size_bytes, _MAX_RECORD_BYTES):
                raise ValueError(f"a record of {length} bytes in a file of {size_bytes}")
            record = stream.read(length + _CHECKSUM_BYTES)
            if len(record) < length + _CHECKSUM_BYTES:
                raise ValueError("it ends within a record")
            yield record[:length]


def _request(raw: object) -> Request:
    if isinstance(raw, list):
        return Request(texts=_strings("history", raw))
    if not isinstance(raw, dict):
        raise ValueError(f"neither an object nor a list: {raw!r}")
    if unknown := sorted(raw.keys() - {"history", "item_ids", "exclude"}):
        raise ValueError(f"unknown key {unknown[0]!r}")
    if ("history" in raw) == ("item_ids" in raw):
        raise ValueError('needs "history" or "item_ids", and not both')
    return Request(
        texts=_strings("history", raw.get("history", [])),
        item_ids=_strings("item_ids", raw.get("item_ids", [])),
        exclude=_strings("exclude", raw.get("exclude", [])),
    )


def _strings(name: str, values: object) -> tuple[str, ...]:
    if not isinstance(values, Iterable) or isinstance(values, (str, bytes, dict)):
        raise ValueError(f"{name!r} is no list of strings")
    entries = tuple(values)
    if not all(isinstance(one, str) for one in entries):
        raise ValueError(f"{name!r} is no list of strings")
    return entries
