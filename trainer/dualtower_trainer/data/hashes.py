"""What identifies the content of a data folder."""

from __future__ import annotations

from pathlib import Path

from dualtower.bundle import sha256_of
from dualtower.errors import DataError
from dualtower_trainer.data.canonical import INTERACTIONS, ITEMS

__all__ = ["data_hashes"]


def data_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of both tables by file name.

    Raises:
        DataError: one of them cannot be read.
    """
    try:
        return {name: sha256_of(folder / name) for name in (INTERACTIONS, ITEMS)}
    except OSError as error:
        raise DataError(
            f"{error.filename} cannot be read ({error.strerror}); {folder} must be what "
            "`dualtower data import` wrote, and where it has moved, say so by --data"
        ) from error
