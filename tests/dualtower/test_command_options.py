"""Options that several commands share."""

from __future__ import annotations

import click
from click.testing import CliRunner

from dualtower.command_options import with_options


def test_help_lists_them_in_order_and_the_command_gets_them() -> None:
    place = with_options(click.option("--host", default="a"), click.option("--port", type=int))

    @click.command()
    @with_options(place, click.argument("what"))
    def connect(host: str, port: int, what: str) -> None:
        click.echo(f"{host} {port} {what}")

    assert CliRunner().invoke(connect, ["x", "--port", "7"]).output == "a 7 x\n"
    text = CliRunner().invoke(connect, ["--help"]).output
    assert text.index("--host") < text.index("--port")
