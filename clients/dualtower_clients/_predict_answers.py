"""What `dualtower predict` prints: tables for people, JSON for machines. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from dualtower.tables import Table
from dualtower_clients._json_tensors import json_of
from dualtower_clients.results import (
    Classifications,
    ModelMetadata,
    Prediction,
    Regressions,
    TensorSpec,
)

__all__ = ["answer_json", "answer_tables", "callable_names", "described_json", "described_tables"]

Answer = Prediction | Classifications | Regressions

_SHOWN_VALUES = 8
_OF_LOADING = "__saved_model_"  # signatures that TensorFlow adds for itself


def callable_names(known: ModelMetadata) -> list[str]:
    """The signatures that a caller can mean."""
    return sorted(name for name in known.signatures if not name.startswith(_OF_LOADING))


def described_tables(known: ModelMetadata) -> list[Table]:
    """The signatures of a model."""
    rows = []
    for name in callable_names(known):
        one = known.signatures[name]
        for kind, specs in (("input", one.inputs), ("output", one.outputs)):
            for alias, spec in sorted(specs.items()):
                default = "has a default" if kind == "input" and alias in one.defaults else ""
                rows.append((name, kind, alias, spec.words, default))
    header = ("signature", "", "name", "dtype and shape", "")
    return [Table(f"{known.model}, version {known.version}", rows, header)]


def described_json(known: ModelMetadata) -> str:
    """The same as JSON."""

    def specs(found: Mapping[str, TensorSpec]) -> dict[str, Any]:
        return {alias: {"dtype": spec.dtype, "shape": spec.shape} for alias, spec in found.items()}

    signatures = {
        name: {
            "inputs": specs(one.inputs),
            "outputs": specs(one.outputs),
            "defaults": {alias: json_of(value) for alias, value in one.defaults.items()},
            "method_name": one.method_name,
        }
        for name, one in known.signatures.items()
        if name in callable_names(known)
    }
    facts = {"model": known.model, "version": known.version, "signatures": signatures}
    return json.dumps(facts, ensure_ascii=False)


def answer_tables(found: Answer) -> list[Table]:
    """An answer, of long ones the first values of each row."""
    title = (
        f"{found.model} version {found.version}, {found.signature}, {found.elapsed_ms:.1f} ms "
        f"from {found.address}"
    )
    if isinstance(found, Prediction):
        rows = [
            (alias, str(array.dtype) if array.dtype.kind != "O" else "string",
             str(list(array.shape)), _some(array))
            for alias, array in found.outputs.items()
        ]  # fmt: skip
        return [Table(title, rows, ("output", "dtype", "shape", "values"))]
    if isinstance(found, Regressions):
        values = [(str(place), _short(one)) for place, one in enumerate(json_of(found.values))]
        return [Table(title, values, ("example", "value"))]
    classes = []
    for place, one in enumerate(found.examples):
        pairs = zip(one.labels, json_of(one.scores), strict=True)
        classes.append((str(place), _first(f"{label} {_short(score)}" for label, score in pairs)))
    return [Table(title, classes, ("example", "classes and scores"))]


def answer_json(found: Answer | Mapping[str, Classifications | Regressions]) -> str:
    """An answer as JSON: `outputs` by alias, or `results` of examples as REST has them.

    Those of several signatures stand under their names.
    """
    if isinstance(found, Mapping):
        by_name = {name: _facts(one) for name, one in found.items()}
        return json.dumps(by_name, ensure_ascii=False)
    return json.dumps(_facts(found), ensure_ascii=False)


def _facts(found: Answer) -> dict[str, Any]:
    result: tuple[str, Any]
    if isinstance(found, Prediction):
        result = "outputs", {alias: json_of(array) for alias, array in found.outputs.items()}
    elif isinstance(found, Regressions):
        result = "results", json_of(found.values)
    else:
        result = (
            "results",
            [
                [list(pair) for pair in zip(one.labels, json_of(one.scores), strict=True)]
                for one in found.examples
            ],
        )
    return {
        "model": found.model,
        "version": found.version,
        "signature": found.signature,
        result[0]: result[1],
        "elapsed_ms": round(found.elapsed_ms, 3),
        "address": found.address,
        "attempts": found.attempts,
    }


def _some(array: NDArray[Any]) -> str:
    """The first values; all of them are what --json is for."""
    flat = array.reshape(-1)
    show = _quoted if array.dtype.kind == "O" else _short
    return _first(map(show, json_of(flat[: _SHOWN_VALUES + 1])))


def _first(texts: Iterable[str]) -> str:
    shown: Sequence[str] = list(texts)
    more = ", …" if len(shown) > _SHOWN_VALUES else ""
    return ", ".join(shown[:_SHOWN_VALUES]) + more


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _short(value: Any) -> str:
    """A number; those that are not finite are texts in JSON, which need no quotes here."""
    if isinstance(value, dict):  # a complex one
        return "{" + ", ".join(f"{part}: {_short(one)}" for part, one in value.items()) + "}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
