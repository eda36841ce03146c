"""The JSON Schemas as they are shipped, and which keys that of results asks for."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

__all__ = ["DOCUMENTS", "SCHEMA", "required_keys", "results_schema", "schema_of", "schema_text"]

SCHEMA = 2
# by the command: run, and what others print with --json
DOCUMENTS = ("results", "agreement", "compare", "faults", "graph", "noise", "roofline", "serving")


def schema_text(of: str = "results") -> str:
    """The file, as `dualtower bench schema` prints it.

    Args:
        of: one of DOCUMENTS.
    """
    return Path(__file__).with_name(f"{of}.schema.json").read_text(encoding="utf-8")


@functools.cache
def schema_of(of: str) -> dict[str, Any]:
    """JSON Schema 2020-12 of a document.

    Args:
        of: one of DOCUMENTS.
    """
    parsed: dict[str, Any] = json.loads(schema_text(of))
    return parsed


def results_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a results document."""
    return schema_of("results")


@functools.cache
def required_keys(part: str = "") -> frozenset[str]:
    """Keys that a part cannot be without.

    Args:
        part: a name of `$defs` such as "row", with what it refers to; "" for the document.
    """
    schema = results_schema()
    found = schema["$defs"][part] if part else schema
    keys = frozenset(found["required"])
    referred = found.get("$ref", "").rpartition("/")[2]
    return keys | required_keys(referred) if referred else keys
