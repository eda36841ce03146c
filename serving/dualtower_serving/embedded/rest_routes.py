"""Paths of the REST API → what is asked for.

    POST /v1/models/NAME[/versions/N|/labels/LABEL]:(classify|regress|predict)
    GET  /v1/models/NAME[/versions/N|/labels/LABEL][/metadata]

Names and labels are percent-decoded. The query string and the fragment are ignored; the stock
server takes them for a part of the model's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from dualtower_clients.proto import inference_pb2
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["Route", "is_api", "path_of", "route"]

_WHICH = r"(?:/versions/([0-9]+)|/labels/([^/:]+))?"
_CALL = re.compile(rf"/v1/models/([^/:]+){_WHICH}:(classify|regress|predict)")
_READ = re.compile(rf"/v1/models(?:/([^/:]+))?{_WHICH}(?:/(metadata))?")
_ABSOLUTE = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_MAX_VERSION = (1 << 63) - 1
_MAX_DIGITS = 4000  # Python reads no longer integers


@dataclass(frozen=True)
class Route:
    """What a path asks for.

    Attributes:
        method: "predict", "classify", "regress", "status" or "metadata".
        model: the name, "" where there is none.
        version: None for the latest one or where there is a label.
        label: of a version.
    """

    method: str
    model: str
    version: int | None = None
    label: str | None = None

    def fill(self, spec: inference_pb2.ModelSpec) -> None:
        """Writes the model and its version."""
        spec.name = self.model
        if self.version is not None:
            spec.version.value = self.version
        if self.label is not None:
            spec.version_label = self.label


def path_of(target: str) -> str:
    """The path of a request's target, which may be a whole URL."""
    path = _ABSOLUTE.sub("", target, count=1)
    return re.split(r"[?#]", path, maxsplit=1)[0] or "/"


def is_api(path: str) -> bool:
    """Whether errors are answered as JSON; other paths are simply not there."""
    return path[:4].lower() == "/v1/"


def route(verb: str, path: str) -> Route:
    """The meaning of a path.

    Raises:
        StatusError: INVALID_ARGUMENT, it has none.
    """
    match = {"POST": _CALL, "GET": _READ}.get(verb, _NOTHING).fullmatch(path)
    if match is None:
        raise StatusError(Code.INVALID_ARGUMENT, f"Malformed request: {verb} {path}")
    name, version, label, method = match.groups()
    return Route(
        method or "status",
        _decoded(name or ""),
        None if version is None else _version(version),
        None if label is None else _decoded(label),
    )


def _version(digits: str) -> int:
    version = int(digits) if len(digits) < _MAX_DIGITS else _MAX_VERSION + 1
    if version > _MAX_VERSION:
        raise StatusError(
            Code.INVALID_ARGUMENT, f"Failed to convert version: {digits[:100]} to numeric."
        )
    return version


def _decoded(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "replace")


_NOTHING = re.compile(r"(?!)")
