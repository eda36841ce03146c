"""Where downloads are kept: $DUALTOWER_CACHE, else $XDG_CACHE_HOME/dualtower, else ~/.cache."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder(*parts: str) -> Path:
    """The cache folder, or a place below it. It is not created here."""
    own = os.environ.get("DUALTOWER_CACHE")
    if own:
        return Path(own).joinpath(*parts)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "dualtower", *parts)
