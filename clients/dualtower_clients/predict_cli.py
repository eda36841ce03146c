"""`dualtower predict`: any model of a server, JSON in and out, without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

import click

from dualtower.errors import UsageError
from dualtower.tables import show
from dualtower_clients._json_examples import examples_of
from dualtower_clients._json_tensors import columns_of, tensor_of
from dualtower_clients._predict_answers import (
    answer_json,
    answer_tables,
    callable_names,
    described_json,
    described_tables,
)
from dualtower_clients._predict_body import read_body
from dualtower_clients.connection_options import Connection, connection_options
from dualtower_clients.proto.tensor_pb2 import TensorProto
from dualtower_clients.results import Classifications, ModelMetadata, Regressions, Signature
from dualtower_clients.serving_client import ServingClient

__all__ = ["predict"]

Method = Literal["predict", "classify", "regress"]

_DEFAULT_SIGNATURE = "serving_default"
_METHODS: Mapping[str, Method] = {
    "tensorflow/serving/classify": "classify",
    "tensorflow/serving/regress": "regress",
}


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
    "--example",
    "examples",
    multiple=True,
    metavar="JSON",
    help='An example for classify and regress, such as {"x": 1.0}: numbers with a point are '
    "floats, others int64; may be given several times.",
)
@click.option(
    "--request",
    metavar="FILE",
    help='JSON as of TensorFlow Serving\'s REST: {"inputs": {...}}, {"instances": [...]} or '
    '{"examples": [...]}; - is stdin.',
)
@click.option("--signature", default=None, metavar="NAME", help="[default: serving_default]")
@click.option(
    "--method",
    type=click.Choice(("predict", "classify", "regress")),
    help="[default: the signature's own for examples, else predict]",
)
@click.option(
    "--task",
    "tasks",
    multiple=True,
    metavar="SIGNATURE=METHOD",
    help="Run several signatures over the same examples at once: classify or regress each.",
)
@click.option("--version", type=click.IntRange(0), help="This loaded version, not the latest.")
@click.option("--label", metavar="NAME", help="The version with this label.")
@click.option(
    "--output", "wanted", multiple=True, metavar="NAME", help="Only this output is computed."
)
@click.option("--describe", is_flag=True, help="Show the model's signatures, and ask nothing.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the result as JSON. Whole numbers have all their digits, also int64 beyond 2^53, "
    'which readers such as JavaScript round; not-finite ones are the texts "NaN", "Infinity" and '
    '"-Infinity".',
)
def predict(
    model: str,
    connection: Connection,
    given: tuple[str, ...],
    examples: tuple[str, ...],
    request: str | None,
    signature: str | None,
    method: Method | None,
    tasks: tuple[str, ...],
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
      dualtower predict flowers --method classify --example '{"petal_length": 1.5}'
    """
    if version is not None and label is not None:
        raise UsageError(f"give --version {version} or --label {label}, not both")
    body = read_body(request, given, examples)
    with ServingClient(
        connection.addresses, timeout_s=connection.timeout_s, settings=connection.settings
    ) as client:
        known = client.metadata(model, version=version, label=label)
        if describe:
            click.echo(described_json(known)) if as_json else show(described_tables(known))
            return
        name = signature or body.get("signature_name") or _DEFAULT_SIGNATURE
        if tasks:
            if signature or method or wanted:
                raise UsageError("--task names signatures and methods; give no others beside it")
            several = _several(client, known, tasks, body)
            if as_json:
                click.echo(answer_json(several))
            else:
                show([table for one in several.values() for table in answer_tables(one)])
            return
        called = _method(_signature(known, name), name, method, body)
        if called == "predict":
            found: Any = client.predict(
                model,
                _tensors(known.signatures[name], name, body),
                signature=name,
                outputs=wanted,
                version=known.version,
            )
        else:
            found = _of_examples(client, known, name, called, wanted, body)
    click.echo(answer_json(found)) if as_json else show(answer_tables(found))


def _method(
    signature: Signature, name: str, method: Method | None, body: Mapping[str, Any]
) -> Method:
    """What is called: as it is said, or as the signature is made for what is given."""
    if "examples" not in body:
        if method in ("classify", "regress"):
            raise UsageError(
                f"--method {method} takes examples: give --example JSON, or "
                '--request FILE with {"examples": [...]}'
            )
        return "predict"
    found = method or _METHODS.get(signature.method_name)
    if found is None:
        raise UsageError(
            f"signature {name!r} does not say what to do with examples; give --method classify, "
            "for labels and scores, or --method regress, for a number each"
        )
    if found == "predict":
        raise UsageError('--method predict takes inputs: give --input NAME=JSON, no "examples"')
    return found


def _of_examples(
    client: ServingClient,
    known: ModelMetadata,
    name: str,
    method: Method,
    wanted: tuple[str, ...],
    body: Mapping[str, Any],
) -> Classifications | Regressions:
    if wanted:
        raise UsageError(f"--output is for predict; {method} has one result for each example")
    examples, context = examples_of(body)
    ask = client.classify if method == "classify" else client.regress
    return ask(known.model, examples, context=context, signature=name, version=known.version)


def _several(
    client: ServingClient, known: ModelMetadata, tasks: tuple[str, ...], body: Mapping[str, Any]
) -> Mapping[str, Classifications | Regressions]:
    """MultiInference."""
    if "examples" not in body:
        raise UsageError("--task takes examples: give --example JSON, or --request FILE")
    chosen: dict[str, Literal["classify", "regress"]] = {}
    for one in tasks:
        name, _, method = one.rpartition("=")
        if method not in ("classify", "regress") or not name:
            raise UsageError(f"--task {one!r} is no SIGNATURE=classify or SIGNATURE=regress")
        if name in chosen:
            raise UsageError(f"--task {name} is given more than once")
        _signature(known, name)
        chosen[name] = cast(Literal["classify", "regress"], method)
    examples, context = examples_of(body)
    return client.multi_inference(
        known.model, chosen, examples, context=context, version=known.version
    )


def _signature(known: ModelMetadata, name: str) -> Signature:
    if name not in known.signatures:
        raise UsageError(
            f"{known.model} has no signature {name!r}, only {', '.join(callable_names(known))}"
        )
    return known.signatures[name]


def _tensors(signature: Signature, name: str, body: Mapping[str, Any]) -> dict[str, TensorProto]:
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
        wants = ", ".join(f"{one}: {signature.inputs[one].words}" for one in missing)
        raise UsageError(f"signature {name!r} needs further inputs: {wants}")
    return {alias: tensor_of(alias, signature.inputs[alias], inputs[alias]) for alias in inputs}
