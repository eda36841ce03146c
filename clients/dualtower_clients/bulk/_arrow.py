"""pyarrow, where it is needed: the output is Parquet, and so may be the input."""

from __future__ import annotations

import importlib
from typing import Any

from dualtower.errors import UnavailableError

__all__ = ["arrow", "parquet"]


def arrow() -> Any:
    """The module `pyarrow`.

    Raises:
        UnavailableError: it is not installed.
    """
    return _module("pyarrow")


def parquet() -> Any:
    """The module `pyarrow.parquet`; as `arrow`."""
    return _module("pyarrow.parquet")


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UnavailableError(
            "bulk embedding writes Parquet, which needs the package 'pyarrow', which is not "
            "installed; run: pip install 'dualtower[bulk]'"
        ) from error
