"""The models of a fake server: what they compute, their versions, and where labels point.

Shelf     name ─► version ─► FakeModel ─► signature ─► FakeSignature(inputs) ─► outputs
            └──► label ─► version
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from numpy.typing import ArrayLike, NDArray

from dualtower.errors import UsageError
from dualtower_clients.results import TensorSpec

__all__ = ["FakeModel", "FakeSignature", "Function", "Refusal", "Shelf"]

Arrays = Mapping[str, NDArray[Any]]
Function = Callable[[Arrays], Mapping[str, ArrayLike]]

_STATES = ("START", "LOADING", "AVAILABLE", "UNLOADING", "END")


class Refusal(Exception):
    """What a function of a model raises to end a call with a code of gRPC.

    Args:
        code: its name, such as "INVALID_ARGUMENT".
        message: the server's words.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        if code not in grpc.StatusCode.__members__ or code == "OK":
            known = ", ".join(name for name in grpc.StatusCode.__members__ if name != "OK")
            raise UsageError(f"code must be one of {known}; got {code!r}")
        self.code = grpc.StatusCode[code]
        self.message = message

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code.name, self.message), self.__dict__


@dataclass(frozen=True)
class FakeSignature:
    """One callable of a model.

    Attributes:
        run: from arrays by alias to arrays by alias. Of Classify and Regress it gets `examples`,
            an object array of dicts of lists, and gives `classes` and `scores` [n, classes], or
            `outputs` [n].
        inputs: what GetModelMetadata says; where it is given, requests are held to it as a model
            server does: the aliases must be these, and the dtypes too.
        outputs: what GetModelMetadata says.
        defaults: of inputs that a request may leave out.
    """

    run: Function
    inputs: Mapping[str, TensorSpec] = field(default_factory=dict)
    outputs: Mapping[str, TensorSpec] = field(default_factory=dict)
    defaults: Mapping[str, ArrayLike] = field(default_factory=dict)


@dataclass(frozen=True)
class FakeModel:
    """One version of a model: its signatures, by name."""

    signatures: Mapping[str, FakeSignature]

    @classmethod
    def of(cls, what: Function | Mapping[str, ArrayLike] | FakeSignature | FakeModel) -> FakeModel:
        """From a function, or from the answer that it always gives, as `serving_default`."""
        if isinstance(what, FakeModel):
            return what
        if not isinstance(what, FakeSignature):
            what = FakeSignature(what if callable(what) else _always(what))
        return cls({"serving_default": what})


def _always(outputs: Mapping[str, ArrayLike]) -> Function:
    return lambda inputs: outputs


class Shelf:
    """Versions and labels of models, which a test changes while calls come in.

    Attributes:
        exchanges: how often a version became another model.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: dict[str, dict[int, tuple[FakeModel, str]]] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self.exchanges = 0

    def put(self, name: str, version: int, model: FakeModel) -> None:
        """Adds a version, or exchanges it."""
        with self._lock:
            versions = self._models.setdefault(name, {})
            self.exchanges += version in versions
            versions[version] = (model, "AVAILABLE")

    def set_state(self, name: str, version: int, state: str) -> None:
        """Only what is AVAILABLE answers; the status tells the others."""
        if state not in _STATES:
            raise UsageError(f"state must be one of {', '.join(_STATES)}; got {state!r}")
        with self._lock:
            model, _ = self._known(name, version)
            self._models[name][version] = (model, state)

    def set_label(self, name: str, label: str, version: int) -> None:
        """Points a label at a version."""
        with self._lock:
            self._known(name, version)
            self._labels.setdefault(name, {})[label] = version

    def states(self, name: str) -> dict[int, str]:
        """State by version, the highest first; empty of an unknown model."""
        with self._lock:
            versions = self._models.get(name, {})
            return {number: versions[number][1] for number in sorted(versions, reverse=True)}

    def find(self, name: str, version: int | None, label: str | None) -> tuple[int, FakeModel]:
        """The version that a request asks for: this one, or that of the label, or the latest.

        Raises:
            Refusal: there is none, in the words of TensorFlow Serving.
        """
        with self._lock:
            loaded = {
                number: model
                for number, (model, state) in self._models.get(name, {}).items()
                if state == "AVAILABLE"
            }
            if label is not None:
                version = self._labels.get(name, {}).get(label)
                if version is None:
                    raise Refusal(
                        "INVALID_ARGUMENT", f"Unrecognized servable version label: {label}"
                    )
            if version is None and loaded:
                version = max(loaded)
            if version not in loaded or version is None:
                asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
                raise Refusal("NOT_FOUND", f"Servable not found for request: {asked}")
            return version, loaded[version]

    def keep(self, names: set[str]) -> None:
        """Unloads all other models."""
        with self._lock:
            for name in self._models.keys() - names:
                del self._models[name]

    def _known(self, name: str, version: int) -> tuple[FakeModel, str]:
        versions = self._models.get(name, {})
        if version not in versions:
            there = ", ".join(map(str, sorted(versions))) or "none"
            raise UsageError(
                f"model {name!r} has no version {version}, only {there}; add it with add_model"
            )
        return versions[version]
