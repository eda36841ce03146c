"""How a bundle asks to be served: its `serving/server.flags`, which `dualtower bench tune` writes.

A flag a line. Those that name files (`/models/…`) are for the container that is started without
dualtower, which knows the files itself; the others, such as threads, are taken as they stand.
"""

from __future__ import annotations

from dataclasses import dataclass

from dualtower.bundle import CONTAINER_ROOT, Bundle
from dualtower.errors import BundleError

__all__ = ["FILE_NAME", "OwnFlags", "own_flags"]

FILE_NAME = "server.flags"
_BATCHING = "--enable_batching"


@dataclass(frozen=True)
class OwnFlags:
    """What the file says.

    Args:
        flags: those that name no file.
        batching: whether requests of different callers share a run.
    """

    flags: tuple[str, ...]
    batching: bool


def own_flags(bundle: Bundle) -> OwnFlags | None:
    """Reads the file; None: the bundle has none, as those of a first dualtower.

    Raises:
        BundleError: it cannot be read, or a line is no flag.
    """
    path = bundle.serving_path / FILE_NAME
    try:
        lines = path.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(
            f"{path} cannot be read ({error}), which a server is started by; "
            "export the bundle again"
        ) from error
    if wrong := next((line for line in lines if not line.startswith("--")), None):
        raise BundleError(f"{path} has {wrong!r}, which is no flag (--NAME=VALUE, one a line)")
    return OwnFlags(
        flags=tuple(
            flag
            for flag in lines
            if CONTAINER_ROOT not in flag and flag.partition("=")[0] != _BATCHING
        ),
        batching=any(flag in (_BATCHING, f"{_BATCHING}=true") for flag in lines),
    )
