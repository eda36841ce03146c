"""What `dualtower predict` is given, as the JSON of TensorFlow Serving's REST. No server.

--request FILE    {"inputs": ...}, {"instances": [...]} or {"examples": [...], "context": {...}}
--input NAME=JSON                      ─► {"inputs": {NAME: ...}}
--example JSON                         ─► {"examples": [...]}
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dualtower.errors import UsageError

__all__ = ["read_body"]

_FORMS = ("inputs", "instances", "examples")


def read_body(
    request: str | None, inputs: Sequence[str], examples: Sequence[str]
) -> dict[str, Any]:
    """The request; empty where nothing is given.

    Raises:
        UsageError: no JSON, none of the forms, or more than one of them.
    """
    ways = {"--request": request, "--input": inputs, "--example": examples}
    given = [option for option, values in ways.items() if values]
    if len(given) > 1:
        raise UsageError(f"give the values by {' or by '.join(given)}, not by both")
    if request is not None:
        return _request(_parse(_read(request), "--request"))
    if inputs:
        return {"inputs": _inputs(inputs)}
    if examples:
        return {"examples": [_parse(_text(one), "--example") for one in examples]}
    return {}


def _request(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict) or sum(form in body for form in _FORMS) != 1:
        raise UsageError(
            '--request must be {"inputs": {...}} or {"instances": [...]} or {"examples": [...]}'
        )
    for form in ("instances", "examples"):
        if not isinstance(body.get(form, []), list):
            raise UsageError(f'"{form}" must be a list, got {body[form]!r:.100}')
    name = body.get("signature_name")
    if name is not None and not isinstance(name, str):
        raise UsageError(f'"signature_name" must be a text, got {name!r:.100}')
    return body


def _inputs(given: Sequence[str]) -> dict[str, Any]:
    inputs: dict[str, Any] = {}
    for one in given:
        name, equals, text = one.partition("=")
        if not equals or not name:
            raise UsageError(f"--input {one!r} is no NAME=JSON, such as 'x=[1.0, 2.0]'")
        if name in inputs:
            raise UsageError(f"--input {name} is given more than once; give all of it in one")
        inputs[name] = _parse(_text(text), f"--input {name}")
    return inputs


def _text(given: str) -> str:
    return _read("-") if given == "-" else given


def _read(path: str) -> str:
    """A file as text; whatever the locale, JSON is UTF-8."""
    try:
        raw = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return raw.decode()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        where = "stdin" if path == "-" else path
        raise UsageError(
            f"{where} is no text in UTF-8 ({error}); "
            'give bytes that are no text as {"b64": "..."}'
        ) from error


def _parse(text: str, where: str) -> Any:
    def number(digits: str) -> float:
        if math.isinf(found := float(digits)):
            raise UsageError(
                f'{where} has {digits}, which no dtype holds; write "Infinity" if that is meant'
            )
        return found

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise UsageError(f"{where} has an object with the name {twice!r} more than once")
        return found

    try:
        return json.loads(text, parse_float=number, object_pairs_hook=members)
    except ValueError as error:
        raise UsageError(f"{where} is no JSON ({error}); texts need their quotes") from error
    except RecursionError as error:
        raise UsageError(f"{where} is nested too deeply") from error
