"""Configuration: TOML files into frozen dataclasses, with `--set section.key=value` on top.

One file serves every command; each command reads the sections it owns. An unknown section or key is
an error that names the nearest known one, since a misspelt setting that is ignored costs a day.
"""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import json
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dualtower.errors import ConfigError, UsageError

__all__ = ["SECTIONS", "build", "load_section", "parse_override", "read_toml", "to_toml"]

SECTIONS = (
    "closed_form",
    "data", "split", "filter", "encoder", "finetune", "model", "train", "loss", "negatives",
    "evaluate",
    "adversarial", "heads", "explain", "export", "serve", "bench",
)  # fmt: skip

T = TypeVar("T")


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        UsageError: the file cannot be read.
        ConfigError: the file is no TOML.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def load_section(
    section: str, schema: type[T], *, path: Path | None = None, overrides: Sequence[str] = ()
) -> T:
    """One section of a configuration as an instance of the frozen dataclass `schema`.

    Args:
        section: one of SECTIONS.
        schema: a dataclass whose fields are str, int, float, bool, tuples of these, or dicts.
        path: the TOML file; None takes the defaults of `schema`.
        overrides: `section.key=value` strings, the value in TOML or plain text. Overrides of other
            sections are left to the commands that own them.

    Raises:
        ConfigError: an unknown section or key, a value of a wrong type, or one that the
            `__post_init__` of `schema` refuses.
    """
    tables = read_toml(path) if path else {}
    for name in tables:
        _known("section", name, SECTIONS, str(path))
    if not isinstance(tables.get(section, {}), Mapping):
        raise ConfigError(f"[{section}] in {path} must be a table")
    values = dict(tables.get(section, {}))
    for override in overrides:
        owner, name, value = parse_override(override)
        _known("section", owner, SECTIONS, f"--set {override}")
        if owner == section:
            values[name] = value
    return build(schema, values, f"[{section}]" + (f" in {path}" if path else ""))


def parse_override(override: str) -> tuple[str, str, Any]:
    """Section, key and value of a `section.key=value`.

    Raises:
        ConfigError: it is no such text.
    """
    key, separator, text = override.partition("=")
    section, dot, name = key.strip().partition(".")
    if not separator or not dot:
        raise ConfigError(f"--set takes section.key=value, got {override!r}")
    return section, name, _parse(text.strip())


def to_toml(sections: Mapping[str, Any]) -> str:
    """TOML text of dataclass instances by section name; reads back to equal instances."""
    lines: list[str] = []
    for name, instance in sections.items():
        lines.append(f"[{name}]")
        for key, value in dataclasses.asdict(instance).items():
            if value is not None:
                lines.append(f"{key} = {_format(value)}")
        lines.append("")
    return "\n".join(lines)


def build(schema: type[T], values: Mapping[str, Any], where: str) -> T:
    """An instance of the frozen dataclass `schema` out of a TOML table.

    Raises:
        ConfigError: an unknown key, or a value that cannot be; both name `where`.
    """
    hints = typing.get_type_hints(schema)
    fields = dataclasses.fields(schema)  # type: ignore[arg-type]
    names = [field.name for field in fields if field.init]
    arguments = {}
    for key, value in values.items():
        _known("key", key, names, where)
        arguments[key] = _coerce(value, hints[key], f"{where} {key}")
    try:
        return schema(**arguments)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _coerce(value: Any, hint: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        return None if value is None else _coerce(value, options[0], where)
    if origin is tuple:
        item = typing.get_args(hint)[0]
        items = value if isinstance(value, (list, tuple)) else [value]
        return tuple(_coerce(entry, item, where) for entry in items)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a table, got {value!r}")
        item = typing.get_args(hint)[1]
        return {key: _coerce(entry, item, f"{where}.{key}") for key, entry in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if hint is str and isinstance(value, datetime.date):
        return value.isoformat()  # 2017-12-01 without quotes is a date in TOML
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{where} must be {hint.__name__}, got {value!r}")
    return value


def _parse(text: str) -> Any:
    """A TOML value where it is one (numbers, booleans, lists), else the text itself."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _format(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_format(entry) for entry in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(k)} = {_format(v)}" for k, v in value.items()) + " }"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)


def _known(kind: str, name: str, allowed: Sequence[str], where: str) -> None:
    if name in allowed:
        return
    near = difflib.get_close_matches(name, allowed, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(allowed)}"
    raise ConfigError(f"unknown {kind} {name!r} in {where}; {hint}")
