"""`dualtower bench schema`."""

from __future__ import annotations

import click

from dualtower_benchmarks.schema.layout import DOCUMENTS

__all__ = ["schema"]


@click.command(epilog="Example: dualtower bench schema > results.schema.json")
@click.option(
    "--of",
    type=click.Choice(DOCUMENTS),
    default="results",
    show_default=True,
    help="What `bench run` writes, or the command of that name prints with --json.",
)
def schema(of: str) -> None:
    """Print a JSON Schema (2020-12), each key with its unit.

    Any validator holds a file against it, such as check-jsonschema --schemafile.
    """
    from dualtower_benchmarks.schema.layout import schema_text

    click.echo(schema_text(of), nl=False)
