"""`dualtower predict`: any model of a server, JSON in and out, without TensorFlow."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import click
from numpy.typing import NDArray

from dualtower.errors import UsageError
from dualtower.tables import Table, show
from dualtower_clients._json_tensors import array_of, columns_of, json_of
from dualtower_clients.connection_options import Connection, connection_options
from dualtower_clients.results import ModelMetadata, Prediction, Signature, TensorSpec
from dualtower_clients.serving_client import ServingClient

__all__ = ["predict"]

_SHOWN_VALUES = 8
_OF_LOADING = "__saved_model_"  # signatures that TensorFlow adds for itself


@click.command()
@click.argument("model")
@connection_options
@click.option(
    "--input",
    "given",
    multiple=True,
    metavar="NAME=JSON",
    help="An input: numbers, texts or nested lists; NAME=- reads them from stdin.",
)
@click.option(
    "--request",
    metavar="FILE",
    help='JSON as of TensorFlow Serving\'s REST: {"inputs": {...}} or {"instances": [...]}; '
    "- is stdin.",
)
@click.option("--signature", default=None, metavar="NAME", help="[default: serving_default]")
@click.option("--version", type=click.IntRange(0), help="This loaded version, not the latest.")
@click.option("--label", metavar="NAME", help="The version with this label.")
@click.option(
    "--output", "wanted", multiple=True, metavar="NAME", help="Only this output is computed."
)
@click.option("--describe", is_flag=True, help="Show the model's signatures, and ask nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def predict(
    model: str,
    connection: Connection,
    given: tuple[str, ...],
    request: str | None,
    signature: str | None,
    version: int | None,
    label: str | None,
    wanted: tuple[str, ...],
    describe: bool,
    as_json: bool,
) -> None:
    """Run a signature of MODEL, at any server with TensorFlow Serving's gRPC.

    The server is asked for the signature first, so that values get the dtypes it wants.

    \b
    Example:
      dualtower predict item_tower --describe
      dualtower predict item_tower --input 'text=["rye bread"]'
      dualtower predict half_plus_two --input x=[1.0,2.0] --json
      dualtower predict half_plus_two --request request.json
    """
    if version is not None and label is not None:
        raise UsageError(f"give --version {version} or --label {label}, not both")
    body = _body(request, given)
    with ServingClient(
        connection.addresses, timeout_s=connection.timeout_s, settings=connection.settings
    ) as client:
        known = client.metadata(model, version=version, label=label)
        if describe:
            click.echo(_described_json(known)) if as_json else show(_described(known))
            return
        name = signature or body.pop("signature_name", None) or "serving_default"
        found = client.predict(
            model,
            _arrays(_signature(known, name), name, body),
            signature=name,
            outputs=wanted,
            version=known.version,
            timeout_s=connection.timeout_s,
        )
    click.echo(_answer_json(found)) if as_json else show(_answer(found))


def _body(request: str | None, given: tuple[str, ...]) -> dict[str, Any]:
    """The request as JSON says it, with the inputs of --input."""
    body: dict[str, Any] = {}
    if request is not None:
        body = _parse(_read(request), "--request")
        if not isinstance(body, dict) or len({"inputs", "instances"} & set(body)) != 1:
            raise UsageError('--request must be {"inputs": {...}} or {"instances": [...]}')
        if not isinstance(body.get("instances", []), list):
            raise UsageError(f'"instances" must be a list, got {body["instances"]!r}')
    if given:
        if body:
            raise UsageError("give the inputs by --request or by --input, not by both")
        inputs = {}
        for one in given:
            name, equals, text = one.partition("=")
            if not equals or not name:
                raise UsageError(f"--input {one!r} is no NAME=JSON, such as 'x=[1.0, 2.0]'")
            inputs[name] = _parse(_read("-") if text == "-" else text, f"--input {name}")
        body = {"inputs": inputs}
    return body


def _read(path: str) -> str:
    try:
        if path == "-":
            return sys.stdin.read()
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text in UTF-8") from error


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"{where} is no JSON ({error}); texts need their quotes") from error
    except RecursionError as error:
        raise UsageError(f"{where} is nested too deeply") from error


def _signature(known: ModelMetadata, name: str) -> Signature:
    if name not in known.signatures:
        raise UsageError(
            f"{known.model} has no signature {name!r}, only {', '.join(_callable(known))}"
        )
    return known.signatures[name]


def _callable(known: ModelMetadata) -> list[str]:
    return sorted(name for name in known.signatures if not name.startswith(_OF_LOADING))


def _arrays(signature: Signature, name: str, body: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    inputs = body.get("inputs", {})
    if "instances" in body:
        inputs = columns_of(signature, body["instances"])
    elif not isinstance(inputs, dict) or set(inputs) == {"b64"}:  # REST's short form of one input
        if len(signature.inputs) != 1:
            raise UsageError(f"inputs must be an object of {', '.join(sorted(signature.inputs))}")
        inputs = {next(iter(signature.inputs)): inputs}
    unknown = sorted(set(inputs) - set(signature.inputs))
    if unknown:
        raise UsageError(
            f"signature {name!r} has no input {', '.join(map(repr, unknown))}, only "
            f"{', '.join(sorted(signature.inputs)) or 'none'}"
        )
    missing = sorted(set(signature.inputs) - set(inputs) - set(signature.defaults))
    if missing:
        wants = ", ".join(f"{one}: {_spec(signature.inputs[one])}" for one in missing)
        raise UsageError(f"signature {name!r} needs further inputs: {wants}")
    return {alias: array_of(alias, signature.inputs[alias], inputs[alias]) for alias in inputs}


def _spec(spec: TensorSpec) -> str:
    if spec.shape is None:
        return f"{spec.dtype}, any shape"
    return f"{spec.dtype} [{', '.join('?' if size == -1 else str(size) for size in spec.shape)}]"


def _described(known: ModelMetadata) -> list[Table]:
    rows = []
    for name in _callable(known):
        one = known.signatures[name]
        for kind, specs in (("input", one.inputs), ("output", one.outputs)):
            for alias, spec in sorted(specs.items()):
                default = "has a default" if kind == "input" and alias in one.defaults else ""
                rows.append((name, kind, alias, _spec(spec), default))
    header = ("signature", "", "name", "dtype and shape", "")
    return [Table(f"{known.model}, version {known.version}", rows, header)]


def _described_json(known: ModelMetadata) -> str:
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
        if name in _callable(known)
    }
    facts = {"model": known.model, "version": known.version, "signatures": signatures}
    return json.dumps(facts, ensure_ascii=False)


def _answer(found: Prediction) -> list[Table]:
    rows = [
        (alias, str(array.dtype) if array.dtype.kind != "O" else "string",
         str(list(array.shape)), _some(array))
        for alias, array in found.outputs.items()
    ]  # fmt: skip
    title = (
        f"{found.model} version {found.version}, {found.signature}, {found.elapsed_ms:.1f} ms "
        f"from {found.address}"
    )
    return [Table(title, rows, ("output", "dtype", "shape", "values"))]


def _some(array: NDArray[Any]) -> str:
    """The first values; all of them are what --json is for."""
    flat = array.reshape(-1)
    shown = [_short(value) for value in json_of(flat[:_SHOWN_VALUES])]
    return ", ".join(shown) + (", …" if flat.size > _SHOWN_VALUES else "")


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _answer_json(found: Prediction) -> str:
    facts = {
        "model": found.model,
        "version": found.version,
        "signature": found.signature,
        "outputs": {alias: json_of(array) for alias, array in found.outputs.items()},
        "elapsed_ms": round(found.elapsed_ms, 3),
        "address": found.address,
        "attempts": found.attempts,
    }
    return json.dumps(facts, ensure_ascii=False)
