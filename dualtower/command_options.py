"""Options of a command line, several at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["with_options"]

F = TypeVar("F", bound=Callable[..., Any])


def with_options(*options: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator of several of click's; --help lists them in the order given.

    Example:
        @with_options(click.option("--host"), click.option("--port", type=int))
        def connect(host: str, port: int) -> None: ...
    """

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add
