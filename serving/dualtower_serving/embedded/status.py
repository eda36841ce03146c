"""What a call or a load that fails ends with: a code and a text, free of transport."""

from __future__ import annotations

from dualtower_clients.proto import management_pb2

__all__ = ["Code", "StatusError", "truncate"]

Code = management_pb2.Code

_MAX_BYTES = 1024  # TensorFlow Serving cuts every gRPC message here
_CUT = "...TRUNCATED"


class StatusError(Exception):
    """Ends a call or a load with one of gRPC's codes.

    Attributes:
        code: a number of `Code`.
        message: the text for the caller.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{Code.Name(code)}: {message}")
        self.code = code
        self.message = message


def truncate(message: str) -> str:
    """The text as model servers send it: at most 1024 bytes, then a mark."""
    raw = message.encode("utf-8", "replace")
    if len(raw) <= _MAX_BYTES:
        return message
    return raw[:_MAX_BYTES].decode("utf-8", "ignore") + _CUT
