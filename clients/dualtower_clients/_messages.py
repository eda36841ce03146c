"""Messages that a caller hands over: ours, TensorFlow's own, or the bytes of either. Pure."""

from __future__ import annotations

from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from dualtower.errors import UsageError

__all__ = ["is_kind", "is_message", "read_message"]

M = TypeVar("M", bound=Message)

_BYTES = (bytes, bytearray, memoryview)


def is_message(given: Any) -> bool:
    """Whether it is a message of any kind, or bytes."""
    return isinstance(given, (Message, *_BYTES))


def is_kind(given: Message, kind: type[Message]) -> bool:
    """Whether both have one name; the packages differ, so that both fit into one process."""
    return bool(given.DESCRIPTOR.name == kind.DESCRIPTOR.name)


def read_message(given: Any, kind: type[M], what: str) -> M:
    """The message as our own type; `what` names it in errors.

    Raises:
        UsageError: it is something else.
    """
    name = kind.DESCRIPTOR.name
    if isinstance(given, kind):
        return given
    if isinstance(given, Message) and is_kind(given, kind):
        raw = given.SerializeToString()
    elif isinstance(given, _BYTES):
        raw = bytes(given)
    else:
        came = given.DESCRIPTOR.name if isinstance(given, Message) else f"{given!r:.100}"
        raise UsageError(f"{what} must be of the type {name} or its bytes, got {came}")
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise UsageError(
            f"{what} must be of the type {name}, and its {len(raw)} bytes are none"
        ) from error
