"""Where the data of a bundle lay when it was exported."""

from __future__ import annotations

from pathlib import Path

from dualtower.bundle import Bundle
from dualtower.errors import UsageError

__all__ = ["recorded_data"]


def recorded_data(bundle: Bundle) -> Path:
    """The data folder that a bundle was compared on, as its manifest records it.

    Raises:
        UsageError: the manifest names none, or it is no longer there.
    """
    recorded = bundle.manifest.get("data_path")
    if recorded is None:
        raise UsageError(f"{bundle.path} does not record its data; give the folder by --data DATA")
    folder = Path(str(recorded))
    if not folder.is_dir():
        raise UsageError(
            f"{folder}, the data that {bundle.path} was made from, is not there; "
            "give its place by --data DATA"
        )
    return folder
