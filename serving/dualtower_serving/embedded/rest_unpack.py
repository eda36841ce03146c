"""Bodies that came compressed."""

from __future__ import annotations

import zlib

from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["unpack"]

_GZIP = 31  # zlib's number for "with gzip's header and check sum"


def unpack(body: bytes | bytearray, encoding: str, limit_bytes: int) -> bytes:
    """The body that was packed.

    Args:
        body: as it came.
        encoding: the Content-Encoding header.
        limit_bytes: no more than this is unpacked, whatever a small body promises.

    Raises:
        StatusError: INVALID_ARGUMENT, another encoding or damaged; RESOURCE_EXHAUSTED, too large.
    """
    if encoding.strip().lower() not in ("gzip", "x-gzip"):
        raise StatusError(
            Code.INVALID_ARGUMENT, f"Content-Encoding {encoding!r} is not read; allowed: gzip"
        )
    parts: list[bytes] = []
    size, rest = 0, bytes(body)
    try:
        while rest:  # members may follow each other
            stream = zlib.decompressobj(_GZIP)
            part = stream.decompress(rest, limit_bytes - size + 1)
            size += len(part)
            if size > limit_bytes:
                raise StatusError(
                    Code.RESOURCE_EXHAUSTED,
                    f"the body unpacks to more than {limit_bytes} bytes",
                )
            if not stream.eof:
                raise zlib.error("it ends too early")
            parts.append(part)
            rest = stream.unused_data
    except zlib.error as error:
        raise StatusError(Code.INVALID_ARGUMENT, f"the body is no gzip data: {error}") from error
    return b"".join(parts)
