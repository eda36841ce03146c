"""Packages that an installation may lack."""

from __future__ import annotations

import importlib
from typing import Any

from dualtower.errors import UnavailableError

__all__ = ["optional_module"]


def optional_module(name: str, *, extra: str, purpose: str) -> Any:
    """Imports a module of an extra.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"{purpose} needs the package {error.name!r}, which is not installed; "
            f"run: pip install 'dualtower[{extra}]'"
        ) from error
