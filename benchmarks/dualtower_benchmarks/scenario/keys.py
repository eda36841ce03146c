"""Keys of cases, by which a run goes on where it was and results are compared."""

from __future__ import annotations

import hashlib
import json
from typing import Any

__all__ = ["key_of"]


def key_of(values: Any) -> str:
    """16 hexadecimal digits of what can be JSON; equal values have equal keys in every run."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
